//! `==`, `<` and `in` as Python has them. Who calls charges the work: see [`Budget::compare`](crate::limits::Budget).

use std::cmp::Ordering;
use std::rc::Rc;

use crate::error::{Result, runtime};
use crate::value::{Object, Value, ViewKind};

/// Python's `a == b`.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
        (Value::Str(a), Value::Str(b)) => **a == **b,
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            Rc::ptr_eq(a, b) || a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(a, b))
        }
        (Value::Dict(a), Value::Dict(b)) => {
            let same =
                |(key, value): &(Value, Value)| b.get(key).ok().flatten().is_some_and(|other| equal(value, other));
            Rc::ptr_eq(a, b) || a.len() == b.len() && a.entries().iter().all(same)
        }
        (Value::View(a, ViewKind::Keys), Value::View(b, ViewKind::Keys)) => {
            a.len() == b.len() && a.entries().iter().all(|(key, _)| matches!(b.get(key), Ok(Some(_))))
        }
        (Value::View(a, kind_a), Value::View(b, kind_b)) => Rc::ptr_eq(a, b) && kind_a == kind_b,
        (Value::Range(a), Value::Range(b)) => {
            a.len() == b.len() && (a.len() == 0 || a.start == b.start && (a.len() == 1 || a.step == b.step))
        }
        (Value::Iter(a), Value::Iter(b)) => Rc::ptr_eq(a, b),
        (Value::Object(a), Value::Object(b)) => match (&**a, &**b) {
            (Object::Group(a), Object::Group(b)) => equal(a, b),
            _ => Rc::ptr_eq(a, b),
        },
        (Value::Object(object), other) | (other, Value::Object(object)) => {
            matches!(&**object, Object::Group(pair) if equal(pair, other))
        }
        (Value::Function(a), Value::Function(b)) => a == b,
        (Value::Method(a), Value::Method(b)) => a.1 == b.1 && identical(&a.0, &b.0),
        (a, b) => match (a.as_int(), b.as_int()) {
            (Some(a), Some(b)) => a == b,
            _ => a.as_number().is_some_and(|a| b.as_number() == Some(a)),
        },
    }
}

/// Python's `a is b`, where a template can rely on it.
pub(crate) fn identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Str(a), Value::Str(b)) => a.markup == b.markup && **a == **b,
        (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
        (Value::Tuple(a), Value::Tuple(b)) => Rc::ptr_eq(a, b) || a.is_empty() && b.is_empty(),
        (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
        (Value::Range(a), Value::Range(b)) => Rc::ptr_eq(a, b),
        (Value::Iter(_), Value::Iter(_)) | (Value::Function(_), Value::Function(_)) => equal(a, b),
        (Value::Object(a), Value::Object(b)) => Rc::ptr_eq(a, b),
        (Value::Undefined(a), Value::Undefined(b)) => Rc::ptr_eq(a, b),
        _ => false,
    }
}

/// The order of two values for the operator `sign`; `None` where one is not a number.
///
/// # Errors
/// Where Python has no order for them.
pub(crate) fn order(a: &Value, b: &Value, sign: &str) -> Result<Option<Ordering>> {
    match (a, b) {
        (Value::Undefined(undefined), _) | (_, Value::Undefined(undefined)) => undefined.fail(),
        (Value::Str(a), Value::Str(b)) => Ok(Some((**a).cmp(&**b))),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(a, b) {
                    return order(a, b, sign);
                }
            }
            Ok(Some(a.len().cmp(&b.len())))
        }
        (Value::Object(object), other) => match &**object {
            Object::Group(pair) => order(pair, other, sign),
            _ => no_order(a, b, sign),
        },
        (other, Value::Object(object)) => match &**object {
            Object::Group(pair) => order(other, pair, sign),
            _ => no_order(a, b, sign),
        },
        _ => match (a.as_int(), b.as_int(), a.as_number(), b.as_number()) {
            (Some(a), Some(b), ..) => Ok(Some(a.cmp(&b))),
            (_, _, Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
            _ => no_order(a, b, sign),
        },
    }
}

fn no_order<T>(a: &Value, b: &Value, sign: &str) -> Result<T> {
    runtime(format!("'{sign}' not supported between instances of '{}' and '{}'", a.type_name(), b.type_name()))
}

/// A stable sort that an order with holes (a NaN) cannot upset, and that ends at the first error.
pub(crate) fn sort<T>(items: Vec<T>, reverse: bool, less: &mut dyn FnMut(&T, &T) -> Result<bool>) -> Result<Vec<T>> {
    let mut runs: Vec<Vec<T>> = items.into_iter().map(|item| vec![item]).collect();
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len() / 2 + 1);
        let mut pairs = runs.into_iter();
        while let Some(left) = pairs.next() {
            merged.push(match pairs.next() {
                Some(right) => merge(left, right, reverse, less)?,
                None => left,
            });
        }
        runs = merged;
    }
    Ok(runs.pop().unwrap_or_default())
}

fn merge<T>(
    left: Vec<T>,
    right: Vec<T>,
    reverse: bool,
    less: &mut dyn FnMut(&T, &T) -> Result<bool>,
) -> Result<Vec<T>> {
    let mut out = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let right_first = if reverse { less(a, b)? } else { less(b, a)? };
        out.extend(if right_first { right.next() } else { left.next() });
    }
    out.extend(left);
    out.extend(right);
    Ok(out)
}
