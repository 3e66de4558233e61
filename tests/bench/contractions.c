/* SPDX-License-Identifier: MIT
 * Single contractions by oneDNN, in the layouts that it likes best, and by OpenBLAS, least time of each: forward, gradient
 * to the input, gradient to the weights. Needs libdnnl-dev and libopenblas-dev; bench.py builds and runs it. Threads by
 * OMP_NUM_THREADS and OPENBLAS_NUM_THREADS. Does not count what reordering to those layouts would cost.
 *   contractions SECONDS, then on each line of standard input: examples channels height width filters kernel stride pad
 *   (a dense layer is kernel 1 on 1 x 1)
 *   on standard output for each: microseconds of oneDNN and OpenBLAS, forward, input, weights; 0 where it has none */
#include <cblas.h>
#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FORWARD, INPUT, WEIGHTS, WAYS };

static double clock_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static double now(void) {
    return clock_of(CLOCK_MONOTONIC);
}

/* One run: the shorter of wall and, of one thread, processor time, as in `bench --profile`. */
typedef struct Run {
    double wall, own;
} Run;
static Run run_start(void) {
    return (Run){now(), clock_of(CLOCK_THREAD_CPUTIME_ID)};
}
static double run_end(const Run *run, double least) {
    const char *threads = getenv("OMP_NUM_THREADS");
    double wall = now() - run->wall, own = clock_of(CLOCK_THREAD_CPUTIME_ID) - run->own;
    if (threads && !strcmp(threads, "1") && own < wall) wall = own;
    return wall < least ? wall : least;
}

static void check(dnnl_status_t status, const char *what) {
    if (status == dnnl_success) return;
    fprintf(stderr, "contractions: oneDNN: %s ended with %d\n", what, (int)status);
    exit(1);
}

/* Values that no product makes denormal. */
static float *numbers(size_t count) {
    float *values = aligned_alloc(64, (count * sizeof *values + 63) / 64 * 64);
    if (!values) exit(1);
    for (size_t i = 0; i < count; i++)
        values[i] = 0.5f + (float)(i * 7919 % 1000) * 1e-3f;
    return values;
}

typedef struct Shape {
    int rank; /* 4, or 2 of a dense layer */
    dnnl_dims_t source, weights, bias, result, stride, pad;
} Shape;

static dnnl_memory_desc_t any_layout(int rank, const dnnl_dims_t dims) {
    dnnl_memory_desc_t desc;
    check(dnnl_memory_desc_init_by_tag(&desc, rank, dims, dnnl_f32, rank == 1 ? dnnl_x : dnnl_format_tag_any), "layout");
    return desc;
}

static dnnl_primitive_desc_t describe(dnnl_engine_t engine, const Shape *s, int way, dnnl_primitive_desc_t forward) {
    dnnl_memory_desc_t source = any_layout(s->rank, s->source), weights = any_layout(s->rank, s->weights),
                       bias = any_layout(1, s->bias), result = any_layout(s->rank, s->result);
    dnnl_convolution_desc_t conv;
    dnnl_inner_product_desc_t dense;
    dnnl_status_t status;
    if (s->rank == 2)
        status = way == FORWARD ? dnnl_inner_product_forward_desc_init(&dense, dnnl_forward_training, &source, &weights,
                                                                       &bias, &result)
                 : way == INPUT ? dnnl_inner_product_backward_data_desc_init(&dense, &source, &weights, &result)
                                : dnnl_inner_product_backward_weights_desc_init(&dense, &source, &weights, &bias, &result);
    else
        status = way == FORWARD
                     ? dnnl_convolution_forward_desc_init(&conv, dnnl_forward_training, dnnl_convolution_direct, &source,
                                                          &weights, &bias, &result, s->stride, s->pad, s->pad)
                 : way == INPUT
                     ? dnnl_convolution_backward_data_desc_init(&conv, dnnl_convolution_direct, &source, &weights, &result,
                                                                s->stride, s->pad, s->pad)
                     : dnnl_convolution_backward_weights_desc_init(&conv, dnnl_convolution_direct, &source, &weights, &bias,
                                                                   &result, s->stride, s->pad, s->pad);
    check(status, "description");
    dnnl_primitive_desc_t desc;
    check(dnnl_primitive_desc_create(&desc, s->rank == 2 ? (const void *)&dense : &conv, NULL, engine, forward), "choice");
    return desc;
}

static void add(dnnl_exec_arg_t *args, int *count, dnnl_engine_t engine, dnnl_primitive_desc_t desc, dnnl_query_t query,
                int index, int name) {
    const dnnl_memory_desc_t *layout = dnnl_primitive_desc_query_md(desc, query, index);
    if (!layout || !dnnl_memory_desc_get_size(layout)) return;
    dnnl_memory_t memory;
    check(dnnl_memory_create(&memory, layout, engine, numbers(dnnl_memory_desc_get_size(layout) / sizeof(float) + 16)),
          "memory");
    args[(*count)++] = (dnnl_exec_arg_t){name, memory};
}

static double one_dnn(const Shape *s, int way, double seconds) {
    static const struct {
        dnnl_query_t query;
        int index, name;
    } operands[WAYS][4] = {{{dnnl_query_src_md, 0, DNNL_ARG_SRC},
                            {dnnl_query_weights_md, 0, DNNL_ARG_WEIGHTS},
                            {dnnl_query_weights_md, 1, DNNL_ARG_BIAS},
                            {dnnl_query_dst_md, 0, DNNL_ARG_DST}},
                           {{dnnl_query_diff_dst_md, 0, DNNL_ARG_DIFF_DST},
                            {dnnl_query_weights_md, 0, DNNL_ARG_WEIGHTS},
                            {dnnl_query_diff_src_md, 0, DNNL_ARG_DIFF_SRC}},
                           {{dnnl_query_src_md, 0, DNNL_ARG_SRC},
                            {dnnl_query_diff_dst_md, 0, DNNL_ARG_DIFF_DST},
                            {dnnl_query_diff_weights_md, 0, DNNL_ARG_DIFF_WEIGHTS},
                            {dnnl_query_diff_weights_md, 1, DNNL_ARG_DIFF_BIAS}}};
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
    dnnl_primitive_desc_t forward = describe(engine, s, FORWARD, NULL);
    dnnl_primitive_desc_t desc = way == FORWARD ? forward : describe(engine, s, way, forward);
    dnnl_primitive_t primitive;
    check(dnnl_primitive_create(&primitive, desc), "primitive");
    dnnl_exec_arg_t args[4];
    int count = 0;
    for (int i = 0; i < 4 && operands[way][i].name; i++)
        add(args, &count, engine, desc, operands[way][i].query, operands[way][i].index, operands[way][i].name);
    double least = 1e9, end = now() + seconds;
    for (int run = 0; run < 5 || now() < end; run++) {
        Run one = run_start();
        check(dnnl_primitive_execute(primitive, stream, count, args), "run");
        check(dnnl_stream_wait(stream), "wait");
        least = run_end(&one, least);
    }
    for (int i = 0; i < count; i++) {
        void *values;
        check(dnnl_memory_get_data_handle(args[i].memory, &values), "handle");
        free(values);
        dnnl_memory_destroy(args[i].memory);
    }
    dnnl_primitive_destroy(primitive);
    if (way != FORWARD) dnnl_primitive_desc_destroy(desc);
    dnnl_primitive_desc_destroy(forward);
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return 1e6 * least;
}

/* y[n, u] = x[n, d] W[u, d]^T and its gradients, row-major. */
static double blas(int n, int d, int u, int way, double seconds) {
    size_t nd = (size_t)n * (size_t)d, nu = (size_t)n * (size_t)u, ud = (size_t)u * (size_t)d;
    float *x = numbers(nd), *y = numbers(nu), *w = numbers(ud);
    double least = 1e9, end = now() + seconds;
    for (int run = 0; run < 5 || now() < end; run++) {
        Run one = run_start();
        if (way == FORWARD)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, u, d, 1, x, d, w, d, 0, y, u);
        else if (way == INPUT)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, d, u, 1, y, u, w, d, 0, x, d);
        else
            cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, u, d, n, 1, y, u, x, d, 0, w, d);
        least = run_end(&one, least);
    }
    free(x);
    free(y);
    free(w);
    return 1e6 * least;
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 0.1;
    int n, c, h, w, o, k, stride, pad;
    while (scanf("%d %d %d %d %d %d %d %d", &n, &c, &h, &w, &o, &k, &stride, &pad) == 8) {
        int dense = h * w * k == 1;
        Shape s = {.rank = dense ? 2 : 4,
                   .source = {n, c, h, w},
                   .weights = {o, c, k, k},
                   .bias = {o},
                   .result = {n, o, (h + 2 * pad - k) / stride + 1, (w + 2 * pad - k) / stride + 1},
                   .stride = {stride, stride},
                   .pad = {pad, pad}};
        for (int way = 0; way < WAYS; way++)
            printf("%.2f %.2f ", one_dnn(&s, way, seconds), dense ? blas(n, c, o, way, seconds) : 0);
        putchar('\n');
        fflush(stdout);
    }
    return 0;
}
