//! Error messages without a formatter: a fixed buffer that text and numbers are appended to, one in each context and
//! one per thread for what fails without a context.

use crate::sys;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::Ordering;

const SIZE: usize = 1024;

/// A C string under construction. What does not fit is cut off between characters. Its functions are cold and never
/// inlined: messages are rare, and inlining them would triple the size of the runtime.
pub struct Message {
    len: usize,
    text: [u8; SIZE],
}

/// The mark of a failed call: the reason stands in the message that was passed along.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed;

impl Message {
    pub const fn new() -> Self {
        Message { len: 0, text: [0; SIZE] }
    }

    /// Starts over.
    pub fn clear(&mut self) -> &mut Self {
        self.len = 0;
        self.text[0] = 0;
        self
    }

    pub fn as_ptr(&self) -> *const c_char {
        self.text.as_ptr().cast()
    }

    #[cold]
    #[inline(never)]
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_ptr(), text.len())
    }

    /// Appends a C string; NULL is nothing.
    ///
    /// # Safety
    /// `text` is NULL or a C string.
    #[cold]
    #[inline(never)]
    pub unsafe fn c(&mut self, text: *const c_char) -> &mut Self {
        if text.is_null() {
            return self;
        }
        // SAFETY: as the caller promises.
        let len = unsafe { sys::strlen(text) };
        self.bytes(text.cast(), len)
    }

    /// Appends `'text'`.
    ///
    /// # Safety
    /// As for [`c`](Self::c).
    #[cold]
    #[inline(never)]
    pub unsafe fn quoted(&mut self, text: *const c_char) -> &mut Self {
        // SAFETY: as the caller promises.
        unsafe { self.text("'").c(text).text("'") }
    }

    pub fn name(&mut self, text: &CStr) -> &mut Self {
        // SAFETY: a C string.
        unsafe { self.c(text.as_ptr()) }
    }

    #[cold]
    #[inline(never)]
    pub fn int(&mut self, value: i64) -> &mut Self {
        let mut digits = [0u8; 20];
        let mut rest = value.unsigned_abs();
        let mut count = 0;
        for slot in digits.iter_mut().rev() {
            *slot = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            self.text("-");
        }
        // `count` digits fill the end of the array.
        self.bytes(digits.as_ptr().wrapping_add(20 - count), count)
    }

    /// What went wrong in the last system call.
    pub fn errno(&mut self, error: c_int) -> &mut Self {
        // SAFETY: the text is a constant of libc for every number that a call returns.
        unsafe { self.c(sys::strerror(error)) }
    }

    /// Ends a chain of parts.
    pub fn fail<T>(&mut self) -> Result<T, Failed> {
        Err(Failed)
    }

    #[cold]
    #[inline(never)]
    fn bytes(&mut self, from: *const u8, len: usize) -> &mut Self {
        let mut fits = len.min(SIZE - 1 - self.len);
        // SAFETY: reads below `len`, which callers have checked, and writes below `SIZE`.
        unsafe {
            while fits < len && fits > 0 && *from.add(fits) & 0xc0 == 0x80 {
                fits -= 1;
            }
            core::ptr::copy_nonoverlapping(from, self.text.as_mut_ptr().add(self.len), fits);
            self.len += fits;
            *self.text.as_mut_ptr().add(self.len) = 0;
        }
        self
    }
}

// ---- One message per thread ----

/// The pthread key, plus one; 0 while there is none.
static KEY: AtomicKey = AtomicKey::new();

struct AtomicKey(core::sync::atomic::AtomicU32, core::cell::UnsafeCell<c_int>);
// SAFETY: the cell is touched by `pthread_once` alone.
unsafe impl Sync for AtomicKey {}

impl AtomicKey {
    const fn new() -> Self {
        AtomicKey(core::sync::atomic::AtomicU32::new(0), core::cell::UnsafeCell::new(0))
    }
}

extern "C" fn make_key() {
    let mut key = 0;
    // SAFETY: `free` is what the messages, made by `malloc`, need.
    if unsafe { sys::pthread_key_create(&mut key, Some(sys::free)) } == 0 {
        KEY.0.store(key + 1, Ordering::Release);
    }
}

/// Gives the key back when the library is unloaded, since a process has few of them.
#[cfg(lapidary_staticlib)]
#[used]
#[unsafe(link_section = ".fini_array")]
static DROP_KEY: extern "C" fn() = {
    extern "C" fn drop_key() {
        let key = KEY.0.swap(0, Ordering::AcqRel);
        if key > 0 {
            // SAFETY: the key is ours, and this thread's message is not used again.
            unsafe {
                sys::free(sys::pthread_getspecific(key - 1));
                sys::pthread_setspecific(key - 1, core::ptr::null());
                sys::pthread_key_delete(key - 1);
            }
        }
    }
    drop_key
};

/// This thread's message, made at first use; `None` when the system has no memory or no key left.
pub fn of_thread() -> Option<&'static mut Message> {
    // SAFETY: the key holds NULL or a message that this thread made, and no other reference to it is alive: callers
    // use it within one call of the interface.
    unsafe {
        sys::pthread_once(KEY.1.get(), make_key);
        let key = KEY.0.load(Ordering::Acquire).checked_sub(1)?;
        let mut message = sys::pthread_getspecific(key).cast::<Message>();
        if message.is_null() {
            message = sys::malloc(size_of::<Message>()).cast();
            if message.is_null() {
                return None;
            }
            message.write(Message::new());
            if sys::pthread_setspecific(key, message.cast::<c_void>()) != 0 {
                sys::free(message.cast());
                return None;
            }
        }
        Some(&mut *message)
    }
}

/// The text of this thread's message; empty where nothing has failed.
pub fn text_of_thread() -> *const c_char {
    match of_thread() {
        Some(message) => message.as_ptr(),
        None => c"out of memory".as_ptr(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &Message) -> &str {
        // SAFETY: a message is a C string.
        unsafe { CStr::from_ptr(message.as_ptr()) }.to_str().unwrap()
    }

    #[test]
    fn puts_parts_together() {
        let mut m = Message::new();
        m.clear().text("dim ").int(0).text(" is ").int(-17).text(", not ").int(i64::MIN).text(" or ").int(i64::MAX);
        assert_eq!(read(&m), "dim 0 is -17, not -9223372036854775808 or 9223372036854775807");
    }

    #[test]
    fn cuts_between_characters() {
        let mut m = Message::new();
        m.text("x");
        for _ in 0..2000 {
            m.text("é");
        }
        assert_eq!(read(&m).len(), SIZE - 1);
        m.clear();
        m.text(&"é".repeat(2000));
        assert_eq!(read(&m), "é".repeat(511));
        assert_eq!(read(m.clear()), "");
    }

    #[test]
    fn threads_have_their_own() {
        of_thread().unwrap().clear().text("mine");
        std::thread::spawn(|| assert_eq!(read(of_thread().unwrap()), "")).join().unwrap();
        assert_eq!(read(of_thread().unwrap()), "mine");
    }
}
