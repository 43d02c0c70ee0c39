/* Two archives in one program: prints y[0][0] of each model, from many contexts at once, or what went wrong. */
#include ONE_H
#include TWO_H
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
enum { ROWS = 300, RUNS = 50, THREADS = 4 };

static float first(const lap_api *api, int threads) {
  static const int64_t n4[] = {ROWS, 4}, n[] = {ROWS}, n2[] = {2 * ROWS}, one[] = {1};
  float x[4 * ROWS], zero[2 * ROWS] = {0}, q[ROWS];
  for (int i = 0; i < 4 * ROWS; i++) x[i] = 1;
  lap_options options = {sizeof options, threads};
  lap_ctx *ctx = api->create(&options);
  if (!ctx) { puts(api->error(NULL)); return -1; }
  lap_tensor in[] = {{x, 1, 2, n4}, {zero, 1, 1, n}, {zero, 1, 1, n2}, {zero, 1, 1, one}};
  float result = -1;
  for (int i = 0; i < RUNS; i++) {
    lap_tensor out[] = {{NULL}, {q, 1, 1, n}};
    if (api->run(ctx, in, out)) { puts(api->error(ctx)); result = -1; break; }
    const float *y = out[0].data;
    result = y[0];
    for (int row = 0; row < ROWS; row++)
      if (y[4 * row] != result || q[row] != result + 18) { printf("row %d is wrong\n", row); result = -1; }
  }
  api->destroy(ctx);
  return result;
}

static void *work(void *arg) {
  const lap_api *api = arg;
  float result = 0;
  for (int threads = 1; threads <= 3; threads++) result = first(api, threads);
  return result < 0 ? arg : NULL;
}

int main(void) {
  pthread_t all[THREADS];
  int failed = 0;
  for (int i = 0; i < THREADS; i++) pthread_create(&all[i], NULL, work, (void *)(i % 2 ? PASTE(ONE, _v1)() : PASTE(TWO, _v1)()));
  for (int i = 0; i < THREADS; i++) { void *bad; pthread_join(all[i], &bad); failed |= bad != NULL; }
  if (failed) return 1;
  printf("%g %g\n", first(PASTE(ONE, _v1)(), 2), first(PASTE(TWO, _v1)(), 2));
  return 0;
}
