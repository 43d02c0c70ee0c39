/* Two static libraries in one program.
 *
 *   cc -DA_HEADER='"a.h"' -DA_API=a_v1 -DB_HEADER='"b.h"' -DB_API=b_v1 two_archives.c liba.a libb.a -lm -lpthread
 *
 * usage: two_archives                                both on made-up inputs, at 1 and 2 threads, which must agree to the last bit
 *        two_archives THREADS A.in A.out B.in B.out  both on given inputs
 *
 * The files hold an int32 count, then per value int32 dtype, int32 rank, int64 dims[rank] and the elements, in the library's order. */
#include A_HEADER
#include B_HEADER
#include "harness.h"

static void read_bytes(FILE *file, void *to, size_t bytes) {
  if (fread(to, 1, bytes, file) != bytes) fail("input file", "too short");
}

static void read_values(const char *path, value_set *set) {
  FILE *file = fopen(path, "rb");
  if (!file) fail(path, "cannot be opened");
  memset(set, 0, sizeof *set);
  read_bytes(file, &set->count, sizeof set->count);
  if (set->count < 0 || set->count > MAX_VALUES) fail(path, "too many values");
  for (int32_t i = 0; i < set->count; i++) {
    lap_tensor *t = &set->tensors[i];
    read_bytes(file, &t->dtype, sizeof t->dtype);
    read_bytes(file, &t->rank, sizeof t->rank);
    if (t->rank < 0 || t->rank > MAX_RANK) fail(path, "rank too large");
    read_bytes(file, set->dims[i], sizeof(int64_t) * (size_t)t->rank);
    t->dims = set->dims[i];
    size_t bytes = elements(t) * element_bytes(t->dtype);
    t->data = malloc(bytes + 1);
    if (!t->data) fail(path, "out of memory");
    read_bytes(file, t->data, bytes);
  }
  fclose(file);
}

static void write_values(const char *path, const value_set *set) {
  FILE *file = fopen(path, "wb");
  if (!file) fail(path, "cannot be written");
  fwrite(&set->count, sizeof set->count, 1, file);
  for (int32_t i = 0; i < set->count; i++) {
    const lap_tensor *t = &set->tensors[i];
    fwrite(&t->dtype, sizeof t->dtype, 1, file);
    fwrite(&t->rank, sizeof t->rank, 1, file);
    fwrite(t->dims, sizeof(int64_t), (size_t)t->rank, file);
    fwrite(t->data, element_bytes(t->dtype), elements(t), file);
  }
  if (fclose(file)) fail(path, "cannot be written");
}

/* Two contexts per library, one and two threads, taking turns. */
static void agree(const char *name, const lap_api *api) {
  for (int64_t symbolic = 1; symbolic <= 5; symbolic += 4) {
    value_set in, first, out;
    lap_ctx *one = open_context(api, 1), *two = open_context(api, 2);
    make_inputs(api, symbolic, 5u, &in);
    run_once(api, one, &in, &out);
    keep(&out, &first);
    run_once(api, two, &in, &out);
    require_equal(name, &out, &first);
    release(&in);
    release(&first);
    api->destroy(one);
    api->destroy(two);
  }
  printf("%s: 1 and 2 threads agree at two sizes\n", name);
}

int main(int argc, char **argv) {
  const lap_api *a = A_API(), *b = B_API();
  if (argc == 1) {
    agree(A_HEADER, a);
    agree(B_HEADER, b);
    return 0;
  }
  if (argc != 6) { fprintf(stderr, "usage: %s [THREADS A.in A.out B.in B.out]\n", argv[0]); return 2; }
  value_set in_a, in_b, out_a, out_b;
  lap_ctx *ctx_a = open_context(a, atoi(argv[1])), *ctx_b = open_context(b, atoi(argv[1]));
  read_values(argv[2], &in_a);
  read_values(argv[4], &in_b);
  run_once(a, ctx_a, &in_a, &out_a);
  run_once(b, ctx_b, &in_b, &out_b); /* before out_a is written: the second library must leave the first one's results alone */
  write_values(argv[3], &out_a);
  write_values(argv[5], &out_b);
  release(&in_a);
  release(&in_b);
  a->destroy(ctx_a);
  b->destroy(ctx_b);
  return 0;
}
