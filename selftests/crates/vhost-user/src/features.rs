// SPDX-License-Identifier: GPL-2.0-or-later
//! The features that a back end offers, by name.

/// Which of the two negotiations a feature belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// GET_FEATURES and SET_FEATURES.
    Virtio,
    /// GET_PROTOCOL_FEATURES and SET_PROTOCOL_FEATURES.
    Protocol,
}

/// A feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Its name in the protocol, without the prefix.
    pub name: &'static str,
    /// Where it is negotiated.
    pub word: Word,
    /// Its bit there.
    pub bit: u32,
}

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident: $word:ident $bit:literal;)*) => {
        $($(#[$doc])*
        pub const $name: Feature = Feature {
            name: stringify!($name),
            word: Word::$word,
            bit: $bit,
        };)*

        /// Everything that this crate knows how to do or to check.
        pub const ALL: &[Feature] = &[$($name),*];
    };
}

features! {
    /// Writes of the device are marked in a log.
    LOG_ALL: Virtio 26;
    /// Indirect descriptors. Not offered by this crate's back end.
    INDIRECT_DESC: Virtio 28;
    /// There are protocol features.
    PROTOCOL_FEATURES: Virtio 30;
    /// Version 1 of virtio, or newer.
    VERSION_1: Virtio 32;
    /// blk: flush requests.
    BLK_FLUSH: Virtio 9;
    /// net: several pairs of rings.
    NET_MQ: Virtio 22;
    /// More than one queue, or pair of them.
    MQ: Protocol 0;
    /// The log is passed as a file descriptor.
    LOG_SHMFD: Protocol 1;
    /// Requests are acknowledged where the front end asks for it.
    REPLY_ACK: Protocol 3;
    /// The device's configuration is read from the back end.
    CONFIG: Protocol 9;
    /// RESET_DEVICE is there.
    RESET_DEVICE: Protocol 13;
    /// Memory regions come and go one by one.
    CONFIGURE_MEM_SLOTS: Protocol 15;
}

impl Feature {
    /// Returns the feature's mask in its word.
    pub const fn mask(self) -> u64 {
        1 << self.bit
    }

    /// Returns the feature with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        ALL.iter().copied().find(|feature| feature.name == name)
    }
}

/// A set of features of both words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// Those of virtio and vhost.
    pub virtio: u64,
    /// Those of the protocol.
    pub protocol: u64,
}

impl Features {
    /// Returns the set of these features.
    pub fn of(features: &[Feature]) -> Self {
        features.iter().fold(Self::default(), |set, f| set.with(*f))
    }

    /// Tells whether a feature is in the set.
    pub const fn has(self, feature: Feature) -> bool {
        match feature.word {
            Word::Virtio => self.virtio & feature.mask() != 0,
            Word::Protocol => self.protocol & feature.mask() != 0,
        }
    }

    /// Returns the set with a feature in it.
    #[must_use]
    pub const fn with(mut self, feature: Feature) -> Self {
        match feature.word {
            Word::Virtio => self.virtio |= feature.mask(),
            Word::Protocol => self.protocol |= feature.mask(),
        }
        self
    }

    /// Returns the set without a feature, and without what makes no sense then.
    #[must_use]
    pub fn without(mut self, feature: Feature) -> Self {
        match feature.word {
            Word::Virtio => self.virtio &= !feature.mask(),
            Word::Protocol => self.protocol &= !feature.mask(),
        }
        if feature == MQ {
            self.virtio &= !NET_MQ.mask();
        }
        if feature == PROTOCOL_FEATURES {
            self.protocol = 0;
        }
        self
    }
}
