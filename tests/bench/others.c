/* SPDX-License-Identifier: MIT
 * Whole steps of one net by FANN (-DFANN: BATCH, then units of each layer) or by darknet (-DDARKNET: a .cfg, a batch of 0 predicts).
 * Needs the library of Debian. Checks no results; the protocol is that of peers.py, which it is compared beside. */
#ifdef FANN
#include <floatfann.h>
#else
#include <darknet.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static double microseconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static void fill(float *values, size_t count) {
    for (size_t i = 0; i < count; i++) values[i] = (float)rand() / (float)RAND_MAX;
}

#ifdef FANN
#define VERSION "FANN 2.2.0"
static struct fann *net;
static struct fann_train_data *batch;

/* Sigmoids and squared errors, which is what FANN has: the products of a step are the same. */
static void prepare(int argc, char **argv) {
    unsigned layers[16], count = 0;
    for (int i = 2; i < argc && count < 16; i++) layers[count++] = (unsigned)atoi(argv[i]);
    if (count < 2) exit(2);
    net = fann_create_standard_array(count, layers);
    batch = fann_create_train((unsigned)atoi(argv[1]), layers[0], layers[count - 1]);
    for (unsigned i = 0; i < batch->num_data; i++) {
        fill(batch->input[i], layers[0]);
        batch->output[i][(unsigned)rand() % layers[count - 1]] = 1;
    }
    fann_set_training_algorithm(net, batch->num_data > 1 ? FANN_TRAIN_BATCH : FANN_TRAIN_INCREMENTAL);
    fann_set_learning_rate(net, 0.01f);
}

static void step(void) { fann_train_epoch(net, batch); }
#else
#define VERSION "darknet 2018-09"
static network *net;
static int predicts;

static void prepare(int argc, char **argv) {
    if (argc != 3) exit(2);
    FILE *answers = stdout;
    stdout = stderr; /* it tells its layers there */
    net = parse_network_cfg(argv[2]);
    stdout = answers;
    predicts = !atoi(argv[1]);
    fill(net->input, (size_t)net->inputs * (size_t)net->batch);
    for (int i = 0; i < net->batch; i++) net->truth[i * net->truths + rand() % net->truths] = 1;
}

static void step(void) {
    if (predicts)
        network_predict(net, net->input);
    else
        train_network_datum(net);
}
#endif

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    prepare(argc, argv);
    printf("{\"version\": \"%s\"}\n", VERSION);
    for (long count; fflush(stdout), scanf("%ld", &count) == 1 && count > 0;) {
        double *times = malloc((size_t)count * sizeof *times);
        if (!times) return 1;
        double cpu = microseconds(CLOCK_PROCESS_CPUTIME_ID);
        for (long i = 0; i < count; i++) {
            double start = microseconds(CLOCK_MONOTONIC);
            step();
            times[i] = microseconds(CLOCK_MONOTONIC) - start;
        }
        cpu = (microseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)count;
        qsort(times, (size_t)count, sizeof *times, ascending);
        struct rusage use;
        getrusage(RUSAGE_SELF, &use);
        printf("{\"median_us\": %.3f, \"min_us\": %.3f, \"cpu_us\": %.3f, \"resident_kib\": %ld}\n",
               times[count / 2], times[0], cpu, use.ru_maxrss);
        free(times);
    }
    return 0;
}
