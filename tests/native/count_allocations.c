/* `run` allocates only when sizes outgrow what the context holds.
 *
 *   cc -DHEADER='"a.h"' -DAPI=a_v1 -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign,--wrap=aligned_alloc,--wrap=mmap \
 *      count_allocations.c liba.a -lm -lpthread
 *
 * A static library, so that the linker sends its own calls of the C library here, whatever they come from. */
#include HEADER
#include "harness.h"
#include <stdatomic.h>
#include <sys/mman.h>

static atomic_long allocations;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size) { allocations++; return __real_malloc(size); }
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size) { allocations++; return __real_calloc(count, size); }
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size) { allocations++; return __real_realloc(old, size); }
int __real_posix_memalign(void **out, size_t align, size_t size);
int __wrap_posix_memalign(void **out, size_t align, size_t size) { allocations++; return __real_posix_memalign(out, align, size); }
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size) { allocations++; return __real_aligned_alloc(align, size); }
void *__real_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
  allocations++;
  return __real_mmap(at, size, protection, flags, file, offset);
}

/* Allocations during one run with every symbolic dim of this size. */
static long during(const lap_api *api, lap_ctx *ctx, int64_t symbolic) {
  value_set in, out;
  make_inputs(api, symbolic, 3u, &in);
  long before = allocations;
  run_once(api, ctx, &in, &out);
  long made = allocations - before;
  release(&in);
  return made;
}

int main(void) {
  const lap_api *api = API();
  for (int32_t threads = 1; threads <= 2; threads++) {
    long before = allocations;
    lap_ctx *ctx = open_context(api, threads);
    if (allocations == before) fail("count", "creating a context allocates, and was not counted");
    long first = during(api, ctx, 4), again = during(api, ctx, 4), smaller = during(api, ctx, 2);
    long larger = during(api, ctx, 9), then = during(api, ctx, 9), back = during(api, ctx, 4);
    printf("%d threads: allocations at size 4: %ld, 4: %ld, 2: %ld, 9: %ld, 9: %ld, 4: %ld\n", threads, first, again, smaller, larger, then, back);
    if (first == 0 || larger == 0) fail("count", "sizes that outgrow the arena need memory, and none was counted");
    if (again || smaller || then || back) fail("run", "it allocated although nothing had grown");
    api->destroy(ctx);
  }
  return 0;
}
