//! Simulations of small policies, added up by hand.
