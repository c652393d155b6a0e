//! Tests of installation.
