//! Short lists in order. The standard library's sorts would bring 12 KB with them, a hundredth of the page's module.

use std::cmp::Ordering;

/// `items` by `compare`; equal ones stay in their order. Quadratic.
pub fn sorted_by<T>(items: impl IntoIterator<Item = T>, compare: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let mut sorted: Vec<T> = Vec::new();
    for item in items {
        let at = sorted.partition_point(|other| compare(other, &item) != Ordering::Greater);
        sorted.insert(at, item);
    }
    sorted
}

/// Each of `items` once, in order.
pub fn distinct<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut sorted = sorted_by(items, T::cmp);
    sorted.dedup();
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Putting an equal item before those that are there fails this.
    #[test]
    fn lists_are_in_order() {
        let by_tens = sorted_by([31, 12, 35, 4, 18], |a, b| (a / 10).cmp(&(b / 10)));
        assert_eq!(by_tens, [4, 12, 18, 31, 35]);
        assert_eq!(distinct(["b", "a", "b"]), ["a", "b"]);
    }
}
