//! Numbers that people type.

/// A number as text. Those with a fraction are read by the browser: the standard library's reader would bring tables of
/// 16 KB with it, as much as a view.
pub trait Typed: Sized {
    /// `None`: it is no such number.
    fn read(text: &str) -> Option<Self>;
}

impl Typed for f64 {
    fn read(text: &str) -> Option<Self> {
        // The browser also takes nothing for 0, and knows hexadecimal numbers and infinity.
        let plain = text.contains(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E'));
        let value = wasm_bindgen::JsValue::from_str(text).unchecked_into_f64();
        (plain && value.is_finite()).then_some(value)
    }
}

impl Typed for f32 {
    fn read(text: &str) -> Option<Self> {
        f64::read(text).map(|value| value as f32).filter(|value| value.is_finite())
    }
}

macro_rules! whole {
    ($($of:ty),*) => {
        $(impl Typed for $of {
            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        })*
    };
}

whole!(u32, u64, usize);
