//! How much memory a value takes, so that what each subscriber keeps can be told.

use std::sync::Arc;

/// Bytes on the heap behind a value. The default says none, which is right for a value that holds only
/// numbers and texts that are shared with others.
pub trait Footprint {
    /// Bytes on the heap that are this value's own: not its own size, not what it shares.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Values without a heap.
macro_rules! flat {
    ($($type:ty),*) => { $(impl Footprint for $type {})* };
}

flat!((), bool, char, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, &'static str);

impl Footprint for String {
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

impl Footprint for Box<str> {
    fn heap_bytes(&self) -> usize {
        self.len()
    }
}

/// Shared, so nobody's own: what interns it counts it.
impl<T: ?Sized> Footprint for Arc<T> {}

impl Footprint for super::Key {}

impl<T: Footprint> Footprint for Option<T> {
    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or(0, T::heap_bytes)
    }
}

impl<T: Footprint> Footprint for Vec<T> {
    fn heap_bytes(&self) -> usize {
        self.capacity() * size_of::<T>() + self.iter().map(T::heap_bytes).sum::<usize>()
    }
}

impl<T: Footprint> Footprint for Box<[T]> {
    fn heap_bytes(&self) -> usize {
        self.len() * size_of::<T>() + self.iter().map(T::heap_bytes).sum::<usize>()
    }
}

impl<T: Footprint> Footprint for Box<T> {
    fn heap_bytes(&self) -> usize {
        size_of::<T>() + (**self).heap_bytes()
    }
}

impl<A: Footprint, B: Footprint> Footprint for (A, B) {
    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes() + self.1.heap_bytes()
    }
}

impl<A: Footprint, B: Footprint, C: Footprint> Footprint for (A, B, C) {
    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes() + self.1.heap_bytes() + self.2.heap_bytes()
    }
}
