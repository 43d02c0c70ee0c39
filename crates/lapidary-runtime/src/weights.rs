//! Where the packed weights lie: inside the library, or in a mapped file beside it.

use crate::abi::{Model, WEIGHTS_MAGIC, WEIGHTS_VERSION, WeightsHeader};
use crate::message::{Failed, Message};
use crate::sys;
use core::ffi::{c_char, c_void};
use core::ptr::{null, null_mut};

/// The weights of one context. Mapped pages are shared by all contexts and processes that map the same file.
pub struct Weights {
    pub data: *const u8,
    map: *mut c_void,
    map_bytes: usize,
}

impl Weights {
    pub const NONE: Weights = Weights { data: null(), map: null_mut(), map_bytes: 0 };

    /// The weights of `model`, from `path` (NULL: beside the library) where they lie in a file.
    ///
    /// # Safety
    /// `model` is a descriptor, `path` is NULL or a C string.
    pub unsafe fn open(model: &Model, path: *const c_char, error: &mut Message) -> Result<Self, Failed> {
        if model.weights_file.is_null() {
            return Ok(Weights { data: model.weights, ..Weights::NONE });
        }
        // SAFETY: as the caller promises; the descriptor's file name is a C string.
        unsafe {
            if !path.is_null() {
                return load(model, path, error);
            }
            let mut beside = Path::new();
            if beside.of_module(core::ptr::from_ref(model).cast()) && beside.sibling(model.weights_file) {
                // An archive that became part of another library: its weights may also lie beside the program.
                let mut program = Path::new();
                let missing = sys::open(beside.as_ptr(), sys::O_RDONLY | sys::O_CLOEXEC);
                if missing >= 0 {
                    sys::close(missing);
                } else if program.of_program() && program.sibling(model.weights_file) {
                    let found = sys::open(program.as_ptr(), sys::O_RDONLY | sys::O_CLOEXEC);
                    if found >= 0 {
                        sys::close(found);
                        return load(model, program.as_ptr(), error);
                    }
                }
                return load(model, beside.as_ptr(), error);
            }
            error.clear().text("cannot tell where the library lies: set 'weights_path' to ").quoted(model.weights_file).fail()
        }
    }

    pub fn close(self) {
        if !self.map.is_null() {
            // SAFETY: mapped by `load`, and consumed here.
            unsafe { sys::munmap(self.map, self.map_bytes) };
        }
    }
}

/// Maps the file at `path` and checks that it belongs to `model`.
unsafe fn load(model: &Model, path: *const c_char, error: &mut Message) -> Result<Weights, Failed> {
    error.clear();
    // SAFETY: `path` is a C string; the mapping is as long as the file, and is read inside its length only.
    unsafe {
        let file = sys::open(path, sys::O_RDONLY | sys::O_CLOEXEC);
        if file < 0 {
            let reason = sys::errno();
            return error.text("cannot open the weights file ").quoted(path).text(": ").errno(reason).fail();
        }
        let (map, bytes, reason) = map_file(file);
        sys::close(file);
        if reason != 0 {
            return error.text("cannot map the weights file ").quoted(path).text(": ").errno(reason).fail();
        }
        let weights = Weights { data: null(), map, map_bytes: bytes as usize };
        match check(model, map.cast(), bytes, path, error) {
            Ok(data) => Ok(Weights { data, ..weights }),
            Err(failed) => {
                weights.close();
                Err(failed)
            }
        }
    }
}

/// The mapping, its length, and an error number; an empty file maps to nothing.
unsafe fn map_file(file: i32) -> (*mut c_void, i64, i32) {
    // SAFETY: calls on an open file.
    unsafe {
        let bytes = sys::lseek(file, 0, sys::SEEK_END);
        if bytes < 0 {
            return (null_mut(), 0, sys::errno());
        }
        if bytes == 0 {
            return (null_mut(), 0, 0);
        }
        let map = sys::mmap(null_mut(), bytes as usize, sys::PROT_READ, sys::MAP_SHARED, file, 0);
        if map as isize == -1 { (null_mut(), 0, sys::errno()) } else { (map, bytes, 0) }
    }
}

/// Where the data starts in a mapped file that is `bytes` long.
unsafe fn check(model: &Model, map: *const u8, bytes: i64, path: *const c_char, error: &mut Message) -> Result<*const u8, Failed> {
    let header_bytes = size_of::<WeightsHeader>() as i64;
    // SAFETY: `path` is a C string, and the header is read where the file is long enough.
    unsafe {
        error.text("the weights file ").quoted(path);
        if bytes < header_bytes {
            return error.text(" is too short: ").int(bytes).text(" bytes").fail();
        }
        let header = map.cast::<WeightsHeader>().read_unaligned();
        if header.magic != WEIGHTS_MAGIC {
            return error.text(" is not a weights file").fail();
        }
        if u32::from_le(header.version) != WEIGHTS_VERSION {
            let version = i64::from(u32::from_le(header.version));
            return error.text(" has version ").int(version).text(", expected ").int(i64::from(WEIGHTS_VERSION)).fail();
        }
        if u64::from_le(header.build_id) != model.build_id {
            return error.text(" belongs to another build of ").quoted(model.name).text(": copy the file that was written with this library").fail();
        }
        let (offset, length) = (u64::from_le(header.data_offset), u64::from_le(header.data_bytes));
        if length != model.weights_bytes as u64 {
            return error.text(" holds ").int(length as i64).text(" bytes of weights, expected ").int(model.weights_bytes).fail();
        }
        match offset.checked_add(length) {
            Some(end) if end <= bytes as u64 => Ok(map.add(offset as usize)),
            Some(end) => error.text(" is too short: ").int(bytes).text(" bytes, expected ").int(end as i64).fail(),
            None => error.text(" has a damaged header").fail(),
        }
    }
}

const PATH_SIZE: usize = 4096;

/// A path under construction.
struct Path([c_char; PATH_SIZE]);

impl Path {
    fn new() -> Self {
        Path([0; PATH_SIZE])
    }

    fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr()
    }

    /// The file that holds `address`.
    unsafe fn of_module(&mut self, address: *const c_void) -> bool {
        let mut info = sys::DlInfo { file: null(), base: null_mut(), symbol: null(), address: null_mut() };
        // SAFETY: the result is written to `info`, whose file name is a C string.
        unsafe {
            if sys::dladdr(address, &mut info) == 0 || info.file.is_null() {
                return self.of_program();
            }
            // For the program itself the name is what it was called by, which says nothing about its folder. Its
            // headers lie on its first page.
            let headers = sys::getauxval(sys::AT_PHDR);
            if headers & !4095 == info.base as usize {
                return self.of_program();
            }
            self.put(0, info.file)
        }
    }

    /// The running program.
    fn of_program(&mut self) -> bool {
        // SAFETY: writes fewer bytes than the buffer has, and the rest is zero.
        let length = unsafe { sys::readlink(c"/proc/self/exe".as_ptr(), self.0.as_mut_ptr(), PATH_SIZE - 1) };
        length > 0
    }

    /// Replaces the last part of the path by `file`.
    unsafe fn sibling(&mut self, file: *const c_char) -> bool {
        let slash = self.0.iter().rposition(|&c| c as u8 == b'/');
        // SAFETY: as the caller promises.
        unsafe { self.put(slash.map_or(0, |at| at + 1), file) }
    }

    /// Writes `text` at `at`, with its end; false where it does not fit.
    unsafe fn put(&mut self, at: usize, text: *const c_char) -> bool {
        // SAFETY: `text` is a C string, and is copied only where it fits.
        unsafe {
            let length = sys::strlen(text);
            if at + length >= PATH_SIZE {
                return false;
            }
            core::ptr::copy_nonoverlapping(text, self.0.as_mut_ptr().add(at), length + 1);
            true
        }
    }
}
