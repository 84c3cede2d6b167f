//! SQLite. (Being written.)
