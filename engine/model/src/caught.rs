//! The panic of a library, as a value. Where a panic ends the process (wasm), there is nothing to catch: what a file can
//! reach there is checked before.

/// What [`caught`] gives: the result, or the panic's message.
type Outcome<T> = Result<T, String>;

/// Runs `work`. Its panic is returned and prints nothing; what it changed before is not used again by its caller.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Outcome<T> {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    hook::install();
    let outer = hook::QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    hook::QUIET.set(outer);
    outcome.map_err(|payload| {
        let message = payload.downcast_ref::<String>().map(String::as_str);
        message.or(payload.downcast_ref::<&str>().copied()).unwrap_or("without words").to_owned()
    })
}

#[cfg(target_family = "wasm")]
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Outcome<T> {
    Ok(work())
}

#[cfg(not(target_family = "wasm"))]
mod hook {
    use std::cell::Cell;
    use std::panic;
    use std::sync::Once;

    thread_local! {
        /// This thread is within [`super::caught`].
        pub(super) static QUIET: Cell<bool> = const { Cell::new(false) };
    }

    /// Puts a hook before the one that is there, once in the life of the process: it passes on every panic but those that
    /// are caught.
    pub(super) fn install() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if !QUIET.try_with(Cell::get).unwrap_or(false) {
                    before(info);
                }
            }));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flag that stays set after the first panic fails the last.
    #[test]
    fn a_panic_is_a_value() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| -> u8 { panic!("at {}", 3) }), Err("at 3".into()));
        assert_eq!(caught(|| caught(|| -> u8 { panic!("inner") })), Ok(Err("inner".into())));
        assert!(!hook::QUIET.get());
    }
}
