// SPDX-License-Identifier: GPL-2.0-or-later

//! The calls of the ABI with the fields of their structs, from the table that the module and its users check theirs
//! against: a call that is added there is fuzzed.

#[path = "../../../../rust/uapi/layout.rs"]
mod table;

/// A field of a call's struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its name in the header, but for `type_`.
    pub(crate) name: &'static str,
    /// Where it begins, in bytes.
    pub(crate) offset: usize,
}

/// A struct of the header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Struct {
    name: &'static str,
    size: usize,
    fields: &'static [Field],
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// Its name in lower case, as `bo_create`.
    pub(crate) name: &'static str,
    /// The number that `ioctl()` takes.
    pub(crate) request: u32,
    argument: &'static str,
}

macro_rules! tables {
    (
        structs {
            $($name:ident: $size:literal { $($field:ident @ $offset:literal),* $(,)? })*
        }
        requests {
            $($call:ident = $request:ident: $nr:ident($argument:ident) = $code:literal;)*
        }
    ) => {
        const STRUCTS: &[Struct] = &[
            $(Struct {
                name: stringify!($name),
                size: $size,
                fields: &[$(Field { name: stringify!($field), offset: $offset }),*],
            }),*
        ];

        /// All calls.
        pub(crate) const CALLS: &[Call] = &[
            $(Call {
                name: stringify!($call),
                request: $code,
                argument: stringify!($argument),
            }),*
        ];
    };
}

table::abi_layout!(tables);

impl Call {
    /// Finds a call by its name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        CALLS.iter().find(|call| call.name == name)
    }

    /// Its place in the table.
    pub(crate) fn index(&self) -> usize {
        CALLS
            .iter()
            .position(|call| call.request == self.request)
            .unwrap_or(0)
    }

    /// The size of its struct, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.layout().map_or(0, |layout| layout.size)
    }

    /// The fields of its struct.
    pub(crate) fn fields(&self) -> &'static [Field] {
        self.layout().map_or(&[], |layout| layout.fields)
    }

    /// Where that field is, in bytes; of one that is longer than a number only the beginning is used.
    pub(crate) fn place(&self, name: &str) -> Option<std::ops::Range<usize>> {
        let fields = self.fields();
        let at = fields.iter().position(|field| field.name == name)?;
        let end = fields.get(at + 1).map_or(self.size(), |next| next.offset);
        let start = fields[at].offset;
        // The end of a struct is aligned: a number of 4 bytes may have 4 bytes of nothing behind it.
        let length = if start & 7 == 0 && end - start >= 8 {
            8
        } else {
            4
        };
        Some(start..start + length)
    }

    fn layout(&self) -> Option<&'static Struct> {
        STRUCTS.iter().find(|layout| layout.name == self.argument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_its_struct() {
        assert!(CALLS.len() >= 25);
        for call in CALLS {
            assert!(!call.fields().is_empty(), "{}", call.name);
            assert_eq!(
                (call.request >> 16 & 0x3fff) as usize,
                call.size(),
                "{}",
                call.name
            );
            for field in call.fields() {
                let place = call.place(field.name).expect("a field has a place");
                assert!(place.end <= call.size(), "{}.{}", call.name, field.name);
            }
        }
    }

    #[test]
    fn fields_are_where_the_header_has_them() {
        let create = Call::named("bo_create").expect("a call of the header");
        assert_eq!(create.place("size"), Some(0..8));
        assert_eq!(create.place("type_"), Some(8..12));
        assert_eq!(create.place("handle"), Some(28..32));
        assert_eq!(create.place("nothing"), None);
    }
}
