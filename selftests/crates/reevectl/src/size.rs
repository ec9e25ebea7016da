// SPDX-License-Identifier: GPL-2.0-or-later

//! Sizes as people type and read them; K, M, G are powers of 1024.

/// Bytes of a size such as `4096`, `4K`, `1MiB` or `2GB`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, suffix) = text.split_at(digits);
    let shift = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err("a size is a number with nothing, K, M, G or T behind it".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a size starts with a number below 2^64".to_owned())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "more than 2^64 bytes".to_owned())
}

/// Bytes a second of such a size, above 0: with none nothing would ever end.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    match parse(text)? {
        0 => Err("a bandwidth is above 0".to_owned()),
        rate => Ok(rate),
    }
}

/// An amount of memory, as limits are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// A number without a unit.
    Pages(u64),
    /// A number with one.
    Bytes(u64),
}

impl Amount {
    /// Parses an amount such as `1024` (pages), `4096B`, `64M` or `2G` (bytes).
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => parse(text).map(Self::Pages),
            false => parse(text).map(Self::Bytes),
        }
    }

    /// Returns it in pages of `page` bytes, a part of a page as a whole one.
    pub(crate) fn pages(self, page: u64) -> u64 {
        match self {
            Self::Pages(pages) => pages,
            Self::Bytes(bytes) => bytes.div_ceil(page.max(1)),
        }
    }
}

/// A size in the largest unit that keeps it readable.
pub(crate) fn human(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >> shift != 0 {
            return format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_above_0() {
        assert_eq!(parse_rate("2K"), Ok(2048));
        for none in ["0", "0M"] {
            assert_eq!(parse_rate(none), Err("a bandwidth is above 0".to_owned()));
        }
    }

    #[test]
    fn sizes_are_parsed() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("4096", 4096),
            ("4096B", 4096),
            ("4K", 4096),
            ("4k", 4096),
            ("4KiB", 4096),
            ("1M", 1 << 20),
            ("3g", 3 << 30),
            ("2T", 2 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn amounts_without_a_unit_are_pages() {
        let pages = |text| Amount::parse(text).map(|amount| amount.pages(4096));
        for (text, expected) in [
            ("0", 0),
            ("1024", 1024),
            ("0B", 0),
            ("1B", 1),
            ("4096B", 1),
            ("4097B", 2),
            ("64M", 16384),
            ("2g", 524_288),
        ] {
            assert_eq!(pages(text), Ok(expected), "{text}");
        }
        for text in ["", "K", "-1", "many", "99999999999999999999"] {
            assert!(pages(text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "K",
            "-1",
            "1.5M",
            "1 M",
            "0x10",
            "18446744073709551616",
            "17179869184G",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (8 << 20, "8.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (3 << 40, "3.0 TiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
