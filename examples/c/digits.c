/* Reads a digit drawn in text, with a library that Lapidary made of a neural network.
 *
 * usage: digits            three built-in drawings
 *        digits FILE       your own: eight lines of eight characters, '.' is paper, '0' … '9' and '#' are ink
 *
 * Nothing else is needed at run time: the network is code and constants inside libdigits_cnn. */
#include "digits_cnn.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SIDE = 8, CLASSES = 10, DRAWINGS = 3 };

/* Test images of scikit-learn's digits, ink from 0 to 16 written as '.', '1' … '8' (two steps each). */
static const char *const DRAWN[DRAWINGS] = {
    "..6882..\n"
    ".28666..\n"
    ".26.28..\n"
    "....66..\n"
    "....84..\n"
    "...58...\n"
    "..6886..\n"
    "..664684\n",
    ".1685...\n"
    ".68481..\n"
    ".54.83..\n"
    "...183..\n"
    "...581..\n"
    "..184...\n"
    ".188443.\n"
    "..688882\n",
    "..2861..\n"
    "..2685..\n"
    "....76..\n"
    "..12771.\n"
    "..68852.\n"
    "..257...\n"
    "...82...\n"
    "..36....\n",
};

/* Eight lines of text to 64 floats in 0 … 1. */
static void read_drawing(const char *text, float pixels[SIDE * SIDE]) {
  memset(pixels, 0, sizeof(float) * SIDE * SIDE);
  for (int row = 0; row < SIDE && *text; row++) {
    for (int column = 0; *text && *text != '\n'; column++, text++) {
      if (column >= SIDE) continue;
      if (*text >= '0' && *text <= '9') pixels[row * SIDE + column] = (float)(*text - '0') / 8.0f;
      if (*text == '#') pixels[row * SIDE + column] = 1.0f;
    }
    if (*text == '\n') text++;
  }
}

/* The likeliest digit of one row of logits, and how sure the network is (softmax). */
static int best(const float *logits, float *sure) {
  int top = 0;
  float sum = 0;
  for (int i = 1; i < CLASSES; i++)
    if (logits[i] > logits[top]) top = i;
  for (int i = 0; i < CLASSES; i++) sum += expf(logits[i] - logits[top]);
  *sure = 1.0f / sum;
  return top;
}

int main(int argc, char **argv) {
  static float pixels[DRAWINGS * SIDE * SIDE];
  static char text[4096];
  int64_t count = DRAWINGS;
  if (argc > 1) {
    FILE *file = fopen(argv[1], "r");
    if (!file) { perror(argv[1]); return 2; }
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    count = 1;
    read_drawing(text, pixels);
  } else {
    for (int i = 0; i < DRAWINGS; i++) read_drawing(DRAWN[i], pixels + i * SIDE * SIDE);
  }

  const lap_api *net = digits_cnn_v1();
  lap_options options = {.size = sizeof options, .threads = 1};
  lap_ctx *context = net->create(&options);
  if (!context) { fprintf(stderr, "create: %s\n", net->error(NULL)); return 1; }

  int64_t dims[4] = {count, 1, SIDE, SIDE}; /* the batch is free: three images in one run */
  lap_tensor input = {.data = pixels, .dtype = 1 /* float */, .rank = 4, .dims = dims};
  lap_tensor logits = {0}; /* data NULL: the context keeps the result until its next run */
  if (net->run(context, &input, &logits)) {
    fprintf(stderr, "run: %s\n", net->error(context));
    net->destroy(context);
    return 1;
  }
  for (int64_t i = 0; i < count; i++) {
    float sure;
    int digit = best((const float *)logits.data + i * CLASSES, &sure);
    if (count > 1) puts(DRAWN[i]);
    printf("this is a %d (%.1f %% sure)\n\n", digit, 100.0 * (double)sure);
  }
  net->destroy(context);
  return 0;
}
