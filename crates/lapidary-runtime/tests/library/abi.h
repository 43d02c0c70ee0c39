/* The descriptor of src/abi.rs in C, for the hand-written model beside this file. */
#include <stddef.h>
#include <stdint.h>

typedef struct { const char *name; int64_t dtype, rank; const int64_t *dims, *shown_dims; const char *const *shown_symbols;
                 int64_t buffer; } Port;
typedef struct { const char *name; int64_t lo, hi; } Symbol;
typedef struct { const char *text; int64_t left, right; } Check;
typedef struct { int64_t kind, offset; } Buffer;
enum { PORT, WEIGHTS, ARENA, UNPACKED };
typedef void Kernel(uint8_t *const *bufs, const int64_t *values, int64_t begin, int64_t end, uint8_t *scratch);
typedef struct { uint8_t *const *bufs; const int64_t *values; uint8_t *scratch; Kernel *const *kernels; int64_t threads;
                 const void *pool; } Frame;
typedef struct { const char *name; uint64_t features; int64_t (*run)(const Frame *); int64_t scratch_bytes;
                 Kernel *const *kernels; } Version;
typedef struct {
  int64_t abi; const char *name;
  const Port *inputs; int64_t n_inputs;
  const Port *outputs; int64_t n_outputs;
  const Symbol *symbols; int64_t n_symbols;
  int64_t n_values; int64_t (*sizes)(int64_t *values);
  const Check *checks; int64_t n_checks;
  int64_t arena_bytes;
  const Buffer *buffers; int64_t n_buffers;
  const Version *versions; int64_t n_versions;
  const uint8_t *weights; int64_t weights_bytes; const char *weights_file; uint64_t build_id;
  int64_t unpacked_bytes; void (*prepare)(const uint8_t *weights, uint8_t *unpacked);
} Model;
#define SLOT(i) (-1 - (int64_t)(i))
#define NO_VALUE INT64_MIN

void lap_rt_parallel_for(const Frame *, Kernel *, int64_t n_chunks);
int32_t lap_rt_count(const Model *, int32_t);
int32_t lap_rt_describe(const Model *, int32_t, int32_t, lap_value_info *);
lap_ctx *lap_rt_create(const Model *, const lap_options *);
int32_t lap_rt_run(lap_ctx *, const lap_tensor *, lap_tensor *);
size_t lap_rt_memory(const lap_ctx *);
const char *lap_rt_error(const lap_ctx *);
void lap_rt_destroy(lap_ctx *);
