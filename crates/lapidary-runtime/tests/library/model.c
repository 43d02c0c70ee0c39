/* A model as the compiler would emit it, by hand:
 *
 *   x: f32[N, 4]  b: f32[N]  d: f32[2*N]  m: f32[M]     w: const f32[4], at load unpacked to 2*w
 *   y: f32[N, 4] = relu(x * 2w) + b        rows shared among threads, through the arena
 *   q: f32[N]    = sum of a row of y + m + d[n] + d[N + n], m broadcast
 *
 * NAME is the model's name, W the first weight, SIDE set for weights in a side file, BEST the features of version v4.
 */
#include HEADER
#include "abi.h"
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

enum { N, M, TWO_N, M_STRIDE, ARENA_BYTES, OUT_OF_REACH, N_VALUES };
enum { X, B, D, MM, Y, Q, RAW_W, W2, TMP, N_BUFFERS };

static int64_t sizes(int64_t *v) {
  if (v[M] != 1 && v[M] != v[N]) return 1;
  v[TWO_N] = 2 * v[N];
  v[M_STRIDE] = v[M] != 1;
  v[ARENA_BYTES] = 16 * v[N];
  v[OUT_OF_REACH] = 0;
  return 0;
}

static void prepare(const uint8_t *weights, uint8_t *unpacked) {
  for (int j = 0; j < 4; j++) ((float *)unpacked)[j] = 2 * ((const float *)weights)[j];
}

static void scale(uint8_t *const *bufs, const int64_t *v, int64_t begin, int64_t end, uint8_t *scratch) {
  const float *x = (const float *)bufs[X], *w = (const float *)bufs[W2];
  float *tmp = (float *)bufs[TMP];
  for (int64_t n = begin; n < end; n++)
    for (int j = 0; j < 4; j++) ((float *)scratch)[j] = x[4 * n + j] * w[j], tmp[4 * n + j] = ((float *)scratch)[j];
}

static void finish(uint8_t *const *bufs, const int64_t *v, int64_t begin, int64_t end, uint8_t *scratch) {
  const float *tmp = (const float *)bufs[TMP], *b = (const float *)bufs[B], *d = (const float *)bufs[D], *m = (const float *)bufs[MM];
  float *y = (float *)bufs[Y], *q = (float *)bufs[Q];
  for (int64_t n = begin; n < end; n++) {
    float sum = 0;
    for (int j = 0; j < 4; j++) {
      float t = tmp[4 * n + j];
      sum += y[4 * n + j] = (t > 0 ? t : 0) + b[n];
    }
    q[n] = sum + m[n * v[M_STRIDE]] + d[n] + d[v[N] + n];
  }
}

static Kernel *const kernels[] = {scale, finish};

static int64_t run_shared(const Frame *f) {
  lap_rt_parallel_for(f, f->kernels[0], f->values[N]);
  lap_rt_parallel_for(f, f->kernels[1], f->values[N]);
  return f->values[N] == 666 ? 2 : 0;
}

static int64_t run_alone(const Frame *f) {
  scale(f->bufs, f->values, 0, f->values[N], f->scratch);
  finish(f->bufs, f->values, 0, f->values[N], f->scratch);
  return 0;
}

#define DIMS(name, ...) static const int64_t name[] = {__VA_ARGS__}
#define NAMES(name, ...) static const char *const name[] = {__VA_ARGS__}
DIMS(n4, SLOT(N), 4); DIMS(n4_shown, -1, 4); NAMES(n4_names, "N", NULL);
DIMS(n1, SLOT(N)); DIMS(any, -1); NAMES(n_name, "N");
DIMS(n2, SLOT(TWO_N)); NAMES(n2_name, "2*N");
DIMS(m1, SLOT(M)); NAMES(m_name, "M");
static const Port inputs[] = {{"x", 1, 2, n4, n4_shown, n4_names, X}, {"b", 1, 1, n1, any, n_name, B},
                              {"d", 1, 1, n2, any, n2_name, D}, {"m", 1, 1, m1, any, m_name, MM}};
static const Port outputs[] = {{"y", 1, 2, n4, n4_shown, n4_names, Y}, {"q", 1, 1, n1, any, n_name, Q}};
static const Symbol symbols[] = {{"N", 0, 100000}, {"M", 1, INT64_MAX}};
static const Check checks[] = {{"'M' and 'N' do not broadcast", SLOT(M), SLOT(N)}, {"666 rows bring bad luck", NO_VALUE, NO_VALUE}};
static const Buffer buffers[] = {{PORT, 0}, {PORT, 0}, {PORT, 0}, {PORT, 0}, {PORT, 0}, {PORT, 0},
                                 {WEIGHTS, 0}, {UNPACKED, 0}, {ARENA, SLOT(OUT_OF_REACH)}};
static const Version versions[] = {{"v4", BEST, run_shared, 16, kernels}, {"v3", 0, run_alone, 16, kernels}};
#ifdef SIDE
#define WHERE NULL, 16, "lib" TEXT(NAME) ".weights"
#else
static const _Alignas(64) float weights[] = {W, 2, 3, 4};
#define WHERE (const uint8_t *)weights, 16, NULL
#endif
static const Model model = {1, TEXT(NAME), inputs, 4, outputs, 2, symbols, 2, N_VALUES, sizes, checks, 2, SLOT(ARENA_BYTES),
                            buffers, N_BUFFERS, versions, 2, WHERE, 0x1234567890abcdef, 16, prepare};

static int32_t count(int32_t o) { return lap_rt_count(&model, o); }
static int32_t describe(int32_t o, int32_t i, lap_value_info *out) { return lap_rt_describe(&model, o, i, out); }
static lap_ctx *create(const lap_options *options) { return lap_rt_create(&model, options); }
static const lap_api api = {1, count, describe, create, lap_rt_run, lap_rt_memory, lap_rt_error, lap_rt_destroy};
const lap_api *PASTE(NAME, _v1)(void) { return &api; }
#ifdef SHARED
const lap_api *lapidary_v1(void) { return &api; }
#endif
