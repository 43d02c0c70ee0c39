//! The interface of an emitted library, on a model that is written by hand instead of generated.

mod build;

use build::{BUILD_ID, Toy, Tsan, folder, text};
use lapidary_runtime::abi::{Api, Options, Tensor, ValueInfo};
use lapidary_runtime::cpu;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_void};
use std::process::Command;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI64, Ordering};

/// A loaded library.
struct Library(&'static Api);

impl Library {
    fn of(toy: Toy) -> Self {
        // Never closed: results of `error` may outlive this value.
        let library = unsafe { libloading::Library::new(toy.shared()) }.unwrap();
        let entry = unsafe { library.get::<unsafe extern "C" fn() -> &'static Api>(b"lapidary_v1") }.unwrap();
        let api = unsafe { entry() };
        std::mem::forget(library);
        Library(api)
    }

    fn create(&self, options: Options) -> Result<Context, String> {
        let context = unsafe { (self.0.create)(&options) };
        if context.is_null() { Err(read(unsafe { (self.0.error)(null()) })) } else { Ok(Context(self.0, context)) }
    }

    fn threads(&self, threads: i32) -> Context {
        self.create(Options { threads, ..options() }).unwrap()
    }
}

fn options() -> Options {
    Options { size: size_of::<Options>() as u32, threads: 1, weights_path: null(), alloc: None, free: None, user: null_mut() }
}

fn read(text: *const std::ffi::c_char) -> String {
    unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned()
}

struct Context(&'static Api, *mut c_void);
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        unsafe { (self.0.destroy)(self.1) }
    }
}

impl Context {
    fn run(&self, inputs: &[Tensor], outputs: &mut [Tensor]) -> Result<(), String> {
        match unsafe { (self.0.run)(self.1, inputs.as_ptr(), outputs.as_mut_ptr()) } {
            0 => Ok(()),
            _ => Err(read(unsafe { (self.0.error)(self.1) })),
        }
    }

    fn memory(&self) -> usize {
        unsafe { (self.0.memory)(self.1) }
    }

    /// Runs with owned results, and compares both with what the model means.
    fn check(&self, case: &Case) {
        let mut out = [EMPTY; 2];
        self.run(&case.tensors(), &mut out).unwrap();
        case.compare(&out);
    }
}

const EMPTY: Tensor = Tensor { data: null_mut(), dtype: 0, rank: 0, dims: null() };

fn tensor(data: &[f32], dims: &[i64]) -> Tensor {
    Tensor { data: data.as_ptr().cast_mut().cast(), dtype: 1, rank: dims.len() as i32, dims: dims.as_ptr() }
}

/// Inputs for `n` rows and `m` values of `m`, with the dims that go with them.
struct Case {
    data: [Vec<f32>; 4],
    dims: [Vec<i64>; 4],
    weight: f32,
}

impl Case {
    fn new(n: usize, m: usize) -> Self {
        let vector = |len: usize, seed: usize| (0..len).map(|i| ((i * 7 + seed) % 19) as f32 - 8.0).collect::<Vec<_>>();
        let (sn, sm) = (n as i64, m as i64);
        Case {
            data: [vector(4 * n, 1), vector(n, 2), vector(2 * n, 3), vector(m, 4)],
            dims: [vec![sn, 4], vec![sn], vec![2 * sn], vec![sm]],
            weight: 1.0,
        }
    }

    fn tensors(&self) -> [Tensor; 4] {
        std::array::from_fn(|i| tensor(&self.data[i], &self.dims[i]))
    }

    fn expected(&self) -> (Vec<f32>, Vec<f32>) {
        let [x, b, d, m] = &self.data;
        let w = [self.weight, 2.0, 3.0, 4.0];
        let y: Vec<f32> = (0..x.len()).map(|i| (x[i] * 2.0 * w[i % 4]).max(0.0) + b[i / 4]).collect();
        let n = b.len();
        let q = (0..n).map(|i| y[4 * i..4 * i + 4].iter().sum::<f32>() + m[if m.len() == 1 { 0 } else { i }] + d[i] + d[n + i]);
        (y.clone(), q.collect())
    }

    fn compare(&self, out: &[Tensor]) {
        let (y, q) = self.expected();
        for (tensor, expected, rank) in [(&out[0], y, 2), (&out[1], q, 1)] {
            assert_eq!((tensor.dtype, tensor.rank, tensor.data as usize % 64), (1, rank, 0));
            let dims = unsafe { std::slice::from_raw_parts(tensor.dims, rank as usize) };
            assert_eq!(dims.iter().product::<i64>(), expected.len() as i64);
            assert_eq!(unsafe { std::slice::from_raw_parts(tensor.data.cast::<f32>(), expected.len()) }, expected);
        }
    }
}

#[test]
fn describes_its_values() {
    let library = Library::of(Toy::named("describes"));
    let describe = |side, index| {
        let mut info = ValueInfo { name: null(), dtype: 0, rank: 0, dims: null(), symbols: null() };
        assert_eq!(unsafe { (library.0.describe)(side, index, &mut info) }, 0);
        let dims: Vec<String> = (0..info.rank as usize)
            .map(|i| match unsafe { (*info.dims.add(i), *info.symbols.add(i)) } {
                (-1, name) => read(name),
                (size, name) => size.to_string() + if name.is_null() { "" } else { "?" },
            })
            .collect();
        format!("{}: {}[{}]", read(info.name), info.dtype, dims.join(", "))
    };
    assert_eq!(library.0.abi_version, 1);
    assert_eq!(unsafe { ((library.0.count)(0), (library.0.count)(1)) }, (4, 2));
    assert_eq!(describe(0, 0), "x: 1[N, 4]");
    assert_eq!(describe(0, 2), "d: 1[2*N]");
    assert_eq!(describe(1, 1), "q: 1[N]");
    for index in [-1, 4] {
        let mut info = ValueInfo { name: null(), dtype: 0, rank: 0, dims: null(), symbols: null() };
        assert_ne!(unsafe { (library.0.describe)(0, index, &mut info) }, 0);
        assert_eq!(read(unsafe { (library.0.error)(null()) }), format!("there is no input {index}: the model has 4"));
    }
}

#[test]
fn runs_at_any_size_and_any_number_of_threads() {
    let library = Library::of(Toy::named("sizes"));
    for threads in [1, 2, 3, 7] {
        let context = library.threads(threads);
        for (n, m) in [(1, 1), (2, 2), (3, 1), (1000, 1000), (17, 1), (0, 1), (5000, 1), (5000, 5000), (33, 33)] {
            context.check(&Case::new(n, m));
        }
    }
}

#[test]
fn threads_follow_the_option() {
    let library = Library::of(Toy::named("threads"));
    library.threads(0).check(&Case::new(100, 1));
    let null_options = unsafe { (library.0.create)(null()) };
    assert!(!null_options.is_null());
    Context(library.0, null_options).check(&Case::new(100, 1));
    for threads in [-1, 1025] {
        let error = library.create(Options { threads, ..options() }).err().unwrap();
        assert_eq!(error, format!("'threads' = {threads} is not a number of threads: 0 (one per core) to 1024"));
    }
}

#[test]
fn fills_the_callers_buffers() {
    let library = Library::of(Toy::named("buffers"));
    let context = library.threads(2);
    let case = Case::new(10, 1);
    let (y, q) = case.expected();
    let (mut own, dims) = (vec![0f32; 40], [10i64, 4]);
    let mut out = [tensor(&own, &dims), EMPTY];
    out[0].data = own.as_mut_ptr().cast();
    context.run(&case.tensors(), &mut out).unwrap();
    assert_eq!(own, y);
    assert_eq!(unsafe { std::slice::from_raw_parts(out[1].data.cast::<f32>(), 10) }, q);

    // The same array again, at another size: what the context owns grows, what the caller owns does not fit.
    let larger = Case::new(2000, 1);
    assert_eq!(context.run(&larger.tensors(), &mut out).unwrap_err(), "output 'y' has size 10 in dim 0, but the result has 2000");
    let mut out = [EMPTY; 2];
    context.run(&case.tensors(), &mut out).unwrap();
    context.run(&larger.tensors(), &mut out).unwrap();
    larger.compare(&out);
}

#[test]
fn refuses_outputs_that_do_not_fit() {
    let library = Library::of(Toy::named("outputs"));
    let context = library.threads(1);
    let case = Case::new(10, 1);
    let own = [0f32; 40];
    let refused = |change: fn(&mut Tensor), dims: &[i64]| {
        let mut out = [tensor(&own, dims), EMPTY];
        change(&mut out[0]);
        context.run(&case.tensors(), &mut out).unwrap_err()
    };
    assert_eq!(refused(|t| t.dtype = 11, &[10, 4]), "output 'y' has dtype 11 (f64), expected 1 (f32)");
    assert_eq!(refused(|_| (), &[40]), "output 'y' has rank 1, expected 2");
    assert_eq!(refused(|_| (), &[10, 5]), "output 'y' has size 5 in dim 1, but the result has 4");
    assert_eq!(refused(|t| t.dims = null(), &[10, 4]), "output 'y' has no dims");
    assert_eq!(unsafe { (library.0.run)(context.1, case.tensors().as_ptr(), null_mut()) }, 1);
    assert_eq!(read(unsafe { (library.0.error)(context.1) }), "no outputs: the model has 2");
    context.check(&case);
    assert_eq!(read(unsafe { (library.0.error)(context.1) }), "");
}

#[test]
fn refuses_inputs_that_do_not_fit() {
    let library = Library::of(Toy::named("inputs"));
    let context = library.threads(1);
    let refused = |index: usize, change: fn(&mut Tensor), dims: &[i64]| {
        let case = Case::new(10, 10);
        let mut tensors = case.tensors();
        if !dims.is_empty() {
            tensors[index].rank = dims.len() as i32;
            tensors[index].dims = dims.as_ptr();
        }
        change(&mut tensors[index]);
        context.run(&tensors, &mut [EMPTY; 2]).unwrap_err()
    };
    assert_eq!(refused(0, |t| t.dtype = 7, &[]), "input 'x' has dtype 7 (i64), expected 1 (f32)");
    assert_eq!(refused(0, |t| t.dtype = 99, &[]), "input 'x' has dtype 99 (undefined), expected 1 (f32)");
    assert_eq!(refused(0, |_| (), &[10, 4, 1]), "input 'x' has rank 3, expected 2");
    assert_eq!(refused(0, |t| t.dims = null(), &[]), "input 'x' has no dims");
    assert_eq!(refused(0, |t| t.data = null_mut(), &[]), "input 'x' has no data");
    assert_eq!(refused(0, |_| (), &[10, 3]), "input 'x' has size 3 in dim 1, expected 4");
    assert_eq!(refused(1, |_| (), &[-10]), "input 'b' has size -10 in dim 0: sizes are not negative");
    assert_eq!(refused(1, |_| (), &[9]), "input 'b' has size 9 in dim 0, but 'N' is 10 by dim 0 of input 'x'");
    assert_eq!(refused(2, |_| (), &[19]), "input 'd' has size 19 in dim 0, expected 20");
    assert_eq!(refused(3, |_| (), &[4]), "'M' and 'N' do not broadcast: 4 and 10");
    assert_eq!(refused(3, |_| (), &[0]), "input 'm' has size 0 in dim 0, but 'M' is at least 1");
    assert_eq!(refused(0, |_| (), &[100001, 4]), "input 'x' has size 100001 in dim 0, but 'N' is from 0 to 100000");
    assert_eq!(unsafe { (library.0.run)(context.1, null(), [EMPTY; 2].as_mut_ptr()) }, 1);
    assert_eq!(read(unsafe { (library.0.error)(context.1) }), "no inputs: the model has 4");
    assert_eq!(unsafe { (library.0.run)(null_mut(), null(), null_mut()) }, 1);
    assert_eq!(read(unsafe { (library.0.error)(null()) }), "the context is NULL");
    // A context that has refused still runs.
    context.check(&Case::new(10, 10));
}

#[test]
fn refuses_its_own_result_as_an_input() {
    let library = Library::of(Toy::named("alias"));
    let context = library.threads(1);
    let case = Case::new(10, 1);
    let mut out = [EMPTY; 2];
    context.run(&case.tensors(), &mut out).unwrap();
    let mut tensors = case.tensors();
    tensors[0] = out[0];
    let error = context.run(&tensors, &mut [EMPTY; 2]).unwrap_err();
    assert!(error.starts_with("input 'x' lies in a result that the context owns"), "{error}");
}

#[test]
fn generated_code_may_fail() {
    let library = Library::of(Toy::named("fails"));
    assert_eq!(library.threads(2).run(&Case::new(666, 1).tensors(), &mut [EMPTY; 2]).unwrap_err(), "666 rows bring bad luck");
}

/// Counts what is held and how often it was asked for.
static HELD: AtomicI64 = AtomicI64::new(0);
static ASKED: AtomicI64 = AtomicI64::new(0);

unsafe extern "C" fn counted_alloc(size: usize, align: usize, user: *mut c_void) -> *mut c_void {
    assert_eq!(user as usize, 77);
    ASKED.fetch_add(1, Ordering::Relaxed);
    if size > 1 << 20 {
        return null_mut();
    }
    HELD.fetch_add(1, Ordering::Relaxed);
    unsafe { std::alloc::alloc(std::alloc::Layout::from_size_align(size + align, align).unwrap()) }.cast()
}

unsafe extern "C" fn counted_free(_: *mut c_void, user: *mut c_void) {
    assert_eq!(user as usize, 77);
    // The size is unknown here; a test may leak.
    HELD.fetch_sub(1, Ordering::Relaxed);
}

#[test]
fn allocates_only_when_sizes_outgrow_the_arena() {
    let library = Library::of(Toy::named("alloc"));
    let user = 77 as *mut c_void;
    let counted = Options { threads: 2, alloc: Some(counted_alloc), free: Some(counted_free), user, ..options() };
    let context = library.create(counted).unwrap();
    let before = context.memory();
    context.check(&Case::new(1000, 1));
    let held = context.memory();
    assert!(held >= before + 16 * 1000 + 20 * 1000 && held < before + 100_000, "{before} {held}");
    let asked = ASKED.load(Ordering::Relaxed);
    for n in [1000, 10, 999, 0, 1000] {
        context.check(&Case::new(n, 1));
    }
    assert_eq!((ASKED.load(Ordering::Relaxed), context.memory()), (asked, held));
    context.check(&Case::new(1100, 1));
    assert!(ASKED.load(Ordering::Relaxed) > asked && context.memory() > held);

    // Memory that cannot be had is an error, and the context lives on.
    let error = context.run(&Case::new(90_000, 1).tensors(), &mut [EMPTY; 2]).unwrap_err();
    assert_eq!(error, "out of memory: no 1440000 bytes for the arena");
    context.check(&Case::new(20, 1));
    drop(context);
    assert_eq!(HELD.load(Ordering::Relaxed), 0);

    let error = library.create(Options { alloc: Some(counted_alloc), free: None, ..options() }).err().unwrap();
    assert_eq!(error, "the options have 'alloc' but no 'free'");
    let error = library.create(Options { size: 0, ..options() }).err().unwrap();
    assert_eq!(error, "set 'size' of the options to sizeof(lap_options)");
    // An older caller's shorter structure means defaults for the rest.
    library.create(Options { size: 8, weights_path: 1 as _, ..options() }).unwrap().check(&Case::new(3, 1));
}

#[test]
fn many_contexts_run_at_once() {
    let library = Library::of(Toy::named("many"));
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let context = library.threads(1 + thread % 3);
            scope.spawn(move || {
                let context = context;
                for round in 0..200 {
                    context.check(&Case::new(1 + (round * 37 + thread as usize) % 400, 1));
                }
            });
        }
    });
}

#[test]
fn weights_lie_in_a_side_file() {
    let toy = Toy { side: true, first_weight: 5, ..Toy::named("side") };
    let library = Library::of(toy);
    let beside = toy.shared().with_file_name("libside.weights");
    let error = || library.create(options()).err().unwrap();
    let missing = error();
    assert!(missing.starts_with("cannot open the weights file '") && missing.ends_with("libside.weights': No such file or directory"), "{missing}");

    let whole = toy.side_file(BUILD_ID);
    let wrong = |bytes: &[u8]| {
        std::fs::write(&beside, bytes).unwrap();
        error().rsplit_once("libside.weights' ").unwrap().1.to_owned()
    };
    assert_eq!(wrong(&[]), "is too short: 0 bytes");
    assert_eq!(wrong(&whole[..20]), "is too short: 20 bytes");
    assert_eq!(wrong(&whole[..4100]), "is too short: 4100 bytes, expected 4112");
    assert_eq!(wrong(&[7; 5000]), "is not a weights file");
    assert_eq!(wrong(&toy.side_file(1)), "belongs to another build of 'side': copy the file that was written with this library");
    let mut longer = whole.clone();
    longer[16] = 17;
    assert_eq!(wrong(&longer), "holds 17 bytes of weights, expected 16");
    let mut newer = whole.clone();
    newer[4] = 2;
    assert_eq!(wrong(&newer), "has version 2, expected 1");

    std::fs::write(&beside, &whole).unwrap();
    let case = Case { weight: 5.0, ..Case::new(10, 1) };
    library.threads(2).check(&case);

    // A path in the options wins.
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("w");
    std::fs::write(&path, Toy { first_weight: 6, ..toy }.side_file(BUILD_ID)).unwrap();
    let path = CString::new(path.to_str().unwrap()).unwrap();
    let context = library.create(Options { weights_path: path.as_ptr(), ..options() }).unwrap();
    context.check(&Case { weight: 6.0, ..case });
    let folder = CString::new(elsewhere.path().to_str().unwrap()).unwrap();
    let error = library.create(Options { weights_path: folder.as_ptr(), ..options() }).err().unwrap();
    assert!(error.starts_with("cannot map the weights file"), "{error}");
}

#[test]
fn two_archives_make_one_program() {
    let one = Toy { side: true, first_weight: 3, ..Toy::named("one") };
    let two = Toy { first_weight: 7, ..Toy::named("two") };
    let program = Toy::program("both", one, two);
    // An archive's side file lies beside the executable, wherever that is called from.
    let place = tempfile::tempdir().unwrap();
    let moved = place.path().join("both");
    std::fs::rename(program, &moved).unwrap();
    let output = Command::new(&moved).output().unwrap();
    assert!(!output.status.success());
    std::fs::write(place.path().join("libone.weights"), one.side_file(BUILD_ID)).unwrap();
    let output = build::run(Command::new("./both").current_dir(place.path()));
    assert_eq!(text(&output.stdout), "6 14\n");
    let path = std::env::join_paths([place.path()]).unwrap();
    let output = build::run(Command::new("/bin/sh").args(["-c", "both"]).env("PATH", path).current_dir("/"));
    assert_eq!(text(&output.stdout), "6 14\n");

    // Forcing a version, by name.
    let output = build::run(Command::new(&moved).env("LAPIDARY_CPU", "v3"));
    assert_eq!(text(&output.stdout), "6 14\n");
    let output = Command::new(&moved).env("LAPIDARY_CPU", "v9").output().unwrap();
    assert!(text(&output.stdout).contains("LAPIDARY_CPU=v9 names no version of the code in 'two'; there are: v4 v3\n"), "{output:?}");
}

#[test]
fn an_older_cpu_gets_older_code_or_an_error() {
    let Some(lacking) = cpu::FEATURES.iter().find(|f| cpu::detect() & f.bit == 0) else { return };
    let one = Toy { best: lacking.bit, ..Toy::named("one_old") };
    // The best version is passed over.
    Library::of(one).threads(2).check(&Case::new(50, 1));
}

#[test]
fn a_forced_version_that_the_cpu_cannot_run_is_an_error() {
    let Some(lacking) = cpu::FEATURES.iter().find(|f| cpu::detect() & f.bit == 0) else { return };
    let toy = Toy { best: lacking.bit, ..Toy::named("forced") };
    if std::env::var_os("LAPIDARY_CPU").is_none() {
        // The environment belongs to the process, so the test runs itself in another one.
        let this = std::env::current_exe().unwrap();
        let name = "a_forced_version_that_the_cpu_cannot_run_is_an_error";
        let mut again = Command::new(this);
        build::run(again.args(["--exact", name]).env("LAPIDARY_CPU", "v4").env("LAPIDARY_LIBRARY", toy.shared()));
        return;
    }
    let library = unsafe { libloading::Library::new(std::env::var_os("LAPIDARY_LIBRARY").unwrap()) }.unwrap();
    let api = unsafe { library.get::<unsafe extern "C" fn() -> &'static Api>(b"lapidary_v1").unwrap()() };
    let error = Library(api).create(options()).err().unwrap();
    assert_eq!(error, format!("this CPU cannot run the code for 'v4' of 'forced': it lacks {}", lacking.name.to_str().unwrap()));
}

#[test]
fn needs_nothing_but_libc() {
    let library = Toy::named("symbols").shared();
    let output = build::run(Command::new("nm").arg("-D").arg(&library));
    let mut exported = BTreeSet::new();
    for line in text(&output.stdout).lines() {
        let (kind, name) = line.rsplit_once(' ').map(|(head, name)| (head.chars().last().unwrap(), name)).unwrap();
        match kind {
            'U' | 'w' => assert!(name.contains("@GLIBC_") || kind == 'w', "{line}"),
            _ => assert!(exported.insert(name.to_owned())),
        }
    }
    assert_eq!(exported, BTreeSet::from(["lapidary_v1".to_owned(), "symbols_v1".to_owned()]));
    let output = build::run(Command::new("nm").arg("-g").arg("--defined-only").arg(Toy::named("one_symbol").archive()));
    let symbols: Vec<String> = text(&output.stdout).lines().filter_map(|l| Some(l.rsplit_once(' ')?.1.to_owned())).collect();
    assert_eq!(symbols, ["one_symbol_v1"]);
}

#[test]
fn headers_of_two_models_agree_in_c_and_in_cpp() {
    let folder = Toy::named("head_one").shared().parent().unwrap().to_owned();
    Toy::named("head_two").shared();
    let source = folder.join("headers.c");
    let text = "#include \"head_one.h\"\n#include \"head_two.h\"\n#include \"head_one.h\"\n\
                int main(void) { return head_one_v1()->abi_version == head_two_v1()->abi_version; }\n";
    std::fs::write(&source, text).unwrap();
    for language in ["-xc", "-xc++"] {
        if language == "-xc++" && Command::new("g++").arg("--version").output().is_err() {
            continue;
        }
        build::run(Command::new("cc").args([language, "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]).arg(&source));
    }
}

/// The pool's hand-offs are seen by ThreadSanitizer, in a program that is instrumented but for the runtime; and it is
/// awake: without the runtime's annotations it reports them as races.
#[test]
fn thread_sanitizer_finds_nothing() {
    let probe = folder().join("probe.c");
    std::fs::write(&probe, "int main(void) { return 0; }").unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-fsanitize=thread", "-o"]).arg(folder().join("probe")).arg(&probe);
    if !cc.output().unwrap().status.success() || !Command::new(folder().join("probe")).status().unwrap().success() {
        eprintln!("skipped: ThreadSanitizer does not work here");
        return;
    }
    let run = |tsan| {
        let program = Toy::program("sanitized", Toy { tsan, ..Toy::named("one") }, Toy { tsan, ..Toy::named("two") });
        Command::new(program).env("TSAN_OPTIONS", "halt_on_error=1").output().unwrap()
    };
    let output = run(Tsan::Annotated);
    assert!(output.status.success() && output.stderr.is_empty(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(text(&output.stdout), "2 2\n");
    let output = run(Tsan::KernelsOnly);
    assert!(text(&output.stderr).contains("data race"), "{}", text(&output.stdout));
}

/// Neither the runtime nor its shutdown leaks or reads what is not there.
#[test]
fn memcheck_finds_nothing() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("skipped: no valgrind");
        return;
    }
    let program = Toy::program("checked", Toy::named("plain_one"), Toy::named("plain_two"));
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=definite,possible", "-q", "--fair-sched=yes"]);
    let output = build::run(valgrind.arg(program));
    assert_eq!(text(&output.stdout), "2 2\n");
}
