//! No code: its manifest names features of third-party crates, so that the program built alone has the same ones as the
//! program built with the tests.
