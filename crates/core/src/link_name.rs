//! The links of the chain of evidence, by name.

use crate::open_words::open_words;

open_words! {
    /// One link of the chain, in causal order. docs/levels.md says what each shows.
    LinkName {
        /// The failsafe was armed before anything was touched.
        FailsafeArmed = "failsafe-armed",
        /// The database's lock was held before the freeze.
        LockHeld = "lock-held",
        /// Every mount that was to be frozen was.
        Frozen = "frozen",
        /// The set is the answer to one call for every volume.
        OneCall = "one-call",
        /// That call was made and answered while the freeze held.
        WithinWindow = "within-window",
        /// The lock's session still answered before it was let go.
        LockAnswered = "lock-answered",
        /// Our own thaw ended every freeze.
        OwnThaw = "own-thaw",
        /// The failsafe was stood down, and had thawed nothing.
        FailsafeQuiet = "failsafe-quiet",
    }
}

impl LinkName {
    /// Whether it is one of the database's lock: without these there is a freeze, but no quiesced application.
    pub fn is_of_lock(&self) -> bool {
        matches!(self, Self::LockHeld | Self::LockAnswered)
    }
}
