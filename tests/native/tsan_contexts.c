/* Several contexts of one library at once, each with its own thread pool, sizes changing between runs.
 *
 * usage: tsan_contexts LIBRARY [CONTEXTS] [RUNS]     (default 4 contexts, 8 runs of two sizes each)
 *
 * By hand, for a race check and for memcheck:
 *   lapidary compile MODEL -o libNAME.so --sanitize thread
 *   cc -std=c11 -g -fsanitize=thread -I. -DHEADER='"NAME.h"' tests/native/tsan_contexts.c -o contexts -ldl -lpthread -lm
 *   ./contexts ./libNAME.so
 *   (without --sanitize and -fsanitize)  valgrind --leak-check=full ./contexts ./libNAME.so 3 2
 *
 * Every result must equal, bit for bit, what a single context with one thread gave. Wrong calls are made on purpose too: they must
 * fail with a message and leave the context usable. */
#define _GNU_SOURCE
#include HEADER
#include "harness.h"
#include <dlfcn.h>
#include <pthread.h>

enum { SIZES = 2 };
static const int64_t SYMBOLIC[SIZES] = {3, 7};

typedef struct { const lap_api *api; const value_set *inputs; const value_set *expected; int32_t threads; int runs; } job;

static void refuses_a_wrong_shape(const lap_api *api, lap_ctx *ctx, const value_set *good) {
  value_set out, bad = *good;
  int64_t dims[MAX_RANK + 1] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  if (bad.count == 0) return;
  bad.tensors[0].rank += 1;
  bad.tensors[0].dims = dims;
  memset(&out, 0, sizeof out);
  if (api->run(ctx, bad.tensors, out.tensors) == 0) fail("run", "accepted an input of the wrong rank");
  const char *why = api->error(ctx);
  if (!why || !*why) fail("run", "refused a wrong input without a message");
}

static void *work(void *argument) {
  const job *j = argument;
  lap_ctx *ctx = open_context(j->api, j->threads);
  for (int run = 0; run < j->runs; run++)
    for (int s = 0; s < SIZES; s++) {
      value_set out;
      run_once(j->api, ctx, &j->inputs[s], &out);
      require_equal("a context beside others", &out, &j->expected[s]);
      if (run == 0) refuses_a_wrong_shape(j->api, ctx, &j->inputs[s]);
    }
  if (j->api->memory(ctx) == 0) fail("memory", "a context that ran holds no memory");
  j->api->destroy(ctx);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 2) { fprintf(stderr, "usage: %s LIBRARY [CONTEXTS] [RUNS]\n", argv[0]); return 2; }
  int contexts = argc > 2 ? atoi(argv[2]) : 4, runs = argc > 3 ? atoi(argv[3]) : 8;
  if (contexts < 1 || contexts > 64 || runs < 1) { fprintf(stderr, "contexts: 1 … 64, runs: 1 …\n"); return 2; }
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) fail("dlopen", dlerror());
  const lap_api *(*entry)(void);
  *(void **)&entry = dlsym(library, "lapidary_v1");
  if (!entry) fail("dlsym", dlerror());
  const lap_api *api = entry();
  if (api->abi_version != 1) fail("library", "another version of the interface");

  value_set inputs[SIZES], expected[SIZES];
  lap_ctx *first = open_context(api, 1);
  for (int s = 0; s < SIZES; s++) {
    value_set out;
    make_inputs(api, SYMBOLIC[s], 17u + (uint32_t)s, &inputs[s]);
    run_once(api, first, &inputs[s], &out);
    keep(&out, &expected[s]);
  }
  api->destroy(first);

  pthread_t threads[64];
  job jobs[64];
  for (int i = 0; i < contexts; i++) {
    jobs[i] = (job){api, inputs, expected, 1 + i % 3, runs};
    if (pthread_create(&threads[i], NULL, work, &jobs[i])) fail("pthread_create", "no thread");
  }
  for (int i = 0; i < contexts; i++) pthread_join(threads[i], NULL);
  for (int s = 0; s < SIZES; s++) { release(&inputs[s]); release(&expected[s]); }
  dlclose(library);
  printf("%d contexts, %d runs each, all equal to the first\n", contexts, runs * SIZES);
  return 0;
}
