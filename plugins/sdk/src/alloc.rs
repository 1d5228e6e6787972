//! An allocator for instances that live for one batch.
//!
//! Blocks are cut from the end of memory, which grows in large steps, because each step is a call
//! of the host. Freed blocks wait in lists by size and are used again; nothing is joined or given
//! back, because the instance is dropped after its batch. Switch off the feature `allocator` to
//! bring another one.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;

/// Memory grows by at least this: a step costs some microseconds, and so does zeroing what was not
/// needed.
const STEP_PAGES: usize = 4;
const PAGE: usize = 65_536;
/// The smallest block: room for the link of a free list.
const SMALLEST: usize = 16;
const CLASSES: usize = 8 * (usize::BITS as usize - 1);

unsafe extern "C" {
    /// Where the linker's data ends and free memory begins.
    static __heap_base: u8;
}

struct Batch(UnsafeCell<State>);

struct State {
    /// First byte that was never given out, and the end of memory.
    next: usize,
    end: usize,
    /// The first free block of each size.
    free: [*mut u8; CLASSES],
}

// SAFETY: a component's instance has one thread.
unsafe impl Sync for Batch {}

#[global_allocator]
static ALLOCATOR: Batch = Batch(UnsafeCell::new(State {
    next: 0,
    end: 0,
    free: [std::ptr::null_mut(); CLASSES],
}));

/// The class of a block, and its size: four sizes between each power of two and the next, so that
/// at most a fifth is wasted.
fn class(layout: Layout) -> (usize, usize) {
    let size = layout.size().max(SMALLEST);
    let shift = (usize::BITS - (size - 1).leading_zeros()).saturating_sub(3);
    let units = size.div_ceil(1 << shift);
    (shift as usize * 8 + units, units << shift)
}

impl State {
    fn cut(&mut self, size: usize, align: usize) -> *mut u8 {
        if self.end == 0 {
            self.next = (&raw const __heap_base) as usize;
            self.end = core::arch::wasm32::memory_size(0) * PAGE;
        }
        let start = match self.next.checked_next_multiple_of(align.max(SMALLEST)) {
            Some(start) => start,
            None => return std::ptr::null_mut(),
        };
        let Some(stop) = start.checked_add(size) else {
            return std::ptr::null_mut();
        };
        if stop > self.end {
            let pages = size.div_ceil(PAGE).max(STEP_PAGES);
            let before = core::arch::wasm32::memory_grow(0, pages);
            if before == usize::MAX {
                return std::ptr::null_mut();
            }
            let grown = before * PAGE;
            if self.end != grown {
                // Somebody else grew memory: begin behind it.
                self.next = grown;
            }
            self.end = grown + pages * PAGE;
            return self.cut(size, align);
        }
        self.next = stop;
        start as *mut u8
    }
}

// SAFETY: blocks do not overlap: they are cut from memory that nobody else has, or come from a
// free list of their size.
unsafe impl GlobalAlloc for Batch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and nothing in here allocates.
        let state = unsafe { &mut *self.0.get() };
        let (class, size) = class(layout);
        if class >= CLASSES {
            return std::ptr::null_mut();
        }
        let free = state.free[class];
        if !free.is_null() && free as usize % layout.align() == 0 {
            // SAFETY: a free block begins with the link to the next one.
            state.free[class] = unsafe { free.cast::<*mut u8>().read() };
            return free;
        }
        state.cut(size, layout.align())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: one thread, and nothing in here allocates.
        let state = unsafe { &mut *self.0.get() };
        let (class, _) = class(layout);
        // SAFETY: the block is at least as large as a link, and nobody uses it any more.
        unsafe { block.cast::<*mut u8>().write(state.free[class]) };
        state.free[class] = block;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
            return std::ptr::null_mut();
        };
        if class(layout) == class(wanted) {
            return block;
        }
        // SAFETY: both blocks are valid for the smaller of the two sizes and do not overlap.
        unsafe {
            let new = self.alloc(wanted);
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}
