//! Tests of the command line.
mod bad_input;
