/* What the native test programs share: inputs made from a library's own description, so that they work with any model.
 *
 * The includer has included a library's header before this one. */
#ifndef LAPIDARY_TEST_HARNESS_H
#define LAPIDARY_TEST_HARNESS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUES = 16, MAX_RANK = 8 };

/* ONNX TensorProto.DataType of the element types that the example models use. */
enum { TYPE_FLOAT = 1, TYPE_UINT8 = 2, TYPE_INT32 = 6, TYPE_INT64 = 7, TYPE_BOOL = 9, TYPE_DOUBLE = 11 };

typedef struct { int32_t count; lap_tensor tensors[MAX_VALUES]; int64_t dims[MAX_VALUES][MAX_RANK]; } value_set;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why ? why : "no message");
  exit(1);
}

static size_t element_bytes(int32_t dtype) {
  switch (dtype) {
  case TYPE_UINT8: case TYPE_BOOL: return 1;
  case TYPE_FLOAT: case TYPE_INT32: return 4;
  case TYPE_INT64: case TYPE_DOUBLE: return 8;
  default: fail("harness", "an element type that this program does not fill"); return 0;
  }
}

static size_t elements(const lap_tensor *t) {
  size_t n = 1;
  for (int32_t d = 0; d < t->rank; d++) n *= (size_t)t->dims[d];
  return n;
}

/* Small and reproducible: floats in -1 … 1, integers in 0 … 15 (valid token ids). */
static void fill(lap_tensor *t, uint32_t seed) {
  size_t n = elements(t);
  for (size_t i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    uint32_t r = seed >> 16;
    switch (t->dtype) {
    case TYPE_FLOAT: ((float *)t->data)[i] = (float)r / 32768.0f - 1.0f; break;
    case TYPE_DOUBLE: ((double *)t->data)[i] = (double)r / 32768.0 - 1.0; break;
    case TYPE_INT32: ((int32_t *)t->data)[i] = (int32_t)(r & 15u); break;
    case TYPE_INT64: ((int64_t *)t->data)[i] = (int64_t)(r & 15u); break;
    default: ((uint8_t *)t->data)[i] = (uint8_t)(r & 1u); break;
    }
  }
}

/* Inputs for the library, every symbolic dim of size `symbolic`; the caller frees them with `release`. */
static void make_inputs(const lap_api *api, int64_t symbolic, uint32_t seed, value_set *set) {
  memset(set, 0, sizeof *set);
  set->count = api->count(0);
  if (set->count > MAX_VALUES) fail("harness", "too many inputs");
  for (int32_t i = 0; i < set->count; i++) {
    lap_value_info info;
    if (api->describe(0, i, &info)) fail("describe", api->error(NULL));
    if (info.rank > MAX_RANK) fail("harness", "rank too large");
    lap_tensor *t = &set->tensors[i];
    for (int32_t d = 0; d < info.rank; d++) set->dims[i][d] = info.dims[d] < 0 ? symbolic : info.dims[d];
    t->dtype = info.dtype;
    t->rank = info.rank;
    t->dims = set->dims[i];
    t->data = malloc(elements(t) * element_bytes(t->dtype) + 1);
    if (!t->data) fail("harness", "out of memory");
    fill(t, seed + (uint32_t)i);
  }
}

static void release(value_set *set) {
  for (int32_t i = 0; i < set->count; i++) free(set->tensors[i].data);
}

/* One run; results stay owned by the context until its next run. */
static void run_once(const lap_api *api, lap_ctx *ctx, const value_set *in, value_set *out) {
  memset(out, 0, sizeof *out);
  out->count = api->count(1);
  if (out->count > MAX_VALUES) fail("harness", "too many outputs");
  if (api->run(ctx, in->tensors, out->tensors)) fail("run", api->error(ctx));
}

/* A copy that outlives the context, for later comparison. */
static void keep(const value_set *from, value_set *to) {
  memset(to, 0, sizeof *to);
  to->count = from->count;
  for (int32_t i = 0; i < from->count; i++) {
    const lap_tensor *f = &from->tensors[i];
    lap_tensor *t = &to->tensors[i];
    size_t bytes = elements(f) * element_bytes(f->dtype);
    memcpy(to->dims[i], f->dims, sizeof(int64_t) * (size_t)f->rank);
    t->dtype = f->dtype;
    t->rank = f->rank;
    t->dims = to->dims[i];
    t->data = malloc(bytes + 1);
    if (!t->data) fail("harness", "out of memory");
    memcpy(t->data, f->data, bytes);
  }
}

/* Results must not depend on threads, contexts or arenas: equal to the last bit. */
static void require_equal(const char *what, const value_set *a, const value_set *b) {
  for (int32_t i = 0; i < a->count; i++) {
    const lap_tensor *x = &a->tensors[i], *y = &b->tensors[i];
    if (x->rank != y->rank || x->dtype != y->dtype || elements(x) != elements(y)) fail(what, "another shape than the first run");
    if (memcmp(x->data, y->data, elements(x) * element_bytes(x->dtype))) fail(what, "other values than the first run");
  }
}

static lap_ctx *open_context(const lap_api *api, int32_t threads) {
  lap_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.threads = threads;
  lap_ctx *ctx = api->create(&options);
  if (!ctx) fail("create", api->error(NULL));
  return ctx;
}

#endif
