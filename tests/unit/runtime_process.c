/* SPDX-License-Identifier: MIT
 * Tests of the whole command line, each run in a process of its own: exit codes, files, the same
 * bits for any number of threads and any interruption. Needs Criterion and runtime_fake.c.
 * Whether an executable links is for the tests that compile models. */
#include "run.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = P_tmpdir "/gradus-process-XXXXXX";
static char *said, *complained; /* stdout and stderr of the last run */

static void enter(void) {
    cr_assert(mkdtemp(folder));
    cr_assert(!chdir(folder));
    unsetenv("GRADUS_DATA");
    unsetenv("OMP_NUM_THREADS");
    FILE *file = fopen("fake.csv", "w");
    fputs("a,b,c,d,class\n", file);
    for (int i = 0; i < 150; i++) /* three clusters that touch */
        fprintf(file, "%g,%g,%g,%g,%d\n", i / 50 + i * 7 % 11 * 0.2, i * 5 % 13 * 0.1,
                (i / 50 == 1) + i * 3 % 17 * 0.1, i % 10 * 0.1, i / 50);
    fclose(file);
}

static void leave(void) {
    char *line = io_format("rm -rf '%s'", folder);
    if (!strstr(folder, "XXXXXX")) cr_assert(!system(line));
}
TestSuite(runtime_process, .fini = leave);

static char *text_of(const char *path) {
    unsigned char *bytes;
    size_t size;
    Fault fault;
    return io_read_file(path, &bytes, &size, &fault) ? (char *)bytes : io_format("%s", "");
}

static pid_t start(const char *line, const char *out, rlim_t most) {
    pid_t child = fork();
    if (child) return child;
    char *copy = io_format("%s", line), *args[32] = {"fake"};
    int count = 1;
    for (char *word = strtok(copy, " "); word && count < 31; word = strtok(NULL, " "))
        args[count++] = word;
    if (most) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){most, most});
    }
    dup2(open(out, O_WRONLY | O_CREAT | O_TRUNC, 0666), STDOUT_FILENO);
    dup2(open("err.txt", O_WRONLY | O_CREAT | O_TRUNC, 0666), STDERR_FILENO);
    int code = cli_main(count, args, &gr_model);
    fflush(NULL);
    _exit(code);
}

static int finish(pid_t child) {
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    said = text_of("out.txt");
    complained = text_of("err.txt");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int fake(const char *line) {
    return finish(start(line, "out.txt", 0));
}

static bool same(const char *a, const char *b) {
    unsigned char *x, *y;
    size_t nx, ny;
    Fault fault;
    cr_assert(io_read_file(a, &x, &nx, &fault) && io_read_file(b, &y, &ny, &fault), "%s",
              fault.text);
    return nx == ny && !memcmp(x, y, nx);
}

static off_t file_size(const char *path) {
    struct stat status;
    return stat(path, &status) ? 0 : status.st_size;
}

static int lines(const char *text, const char *with) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, with)); at++)
        count++;
    return count;
}

Test(runtime_process, help_and_version) {
    enter();
    cr_assert_eq(fake(""), 0);
    cr_assert(strstr(said, "usage:") && strstr(said, "--epochs=N") && !*complained);
    cr_assert(!strstr(said, "export"));
    char *all = said;
    cr_assert_eq(fake("--help"), 0);
    cr_assert_str_eq(said, all);
    cr_assert_eq(fake("predict --help"), 0);
    cr_assert(strstr(said, "--input") && !strstr(said, "--epochs"));
    cr_assert_eq(fake("--version"), 0);
    cr_assert(strstr(said, "gradus test"));
}

Test(runtime_process, usage_faults) {
    static const struct {
        const char *line, *told;
    } rows[] = {
        {"tran", "did you mean 'train'"},
        {"--epochs=3", "a verb comes first"},
        {"export", "not yet available"},
        {"train --epoch=3", "did you mean --epochs"},
        {"eval --epochs=3", "not an option of eval"},
        {"train --epochs=x", "whole number"},
        {"train --epochs=0", "whole number"},
        {"train --epochs", "wants a value"},
        {"train --threads=99999", "whole number"},
        {"train --seed=-1", "whole number"},
        {"train -q=1", "takes no value"},
        {"train extra", "unexpected 'extra'"},
        {"train --log=", "is empty"},
        {"train --set lr", "NAME=VALUE"},
        {"train --set optimizer.lr=fast", "not a number"},
        {"train --set optimiser.lr=1", "did you mean 'optimizer.lr'"},
        {"train --set zebra=1", "stop.window (1000)"},
        {"train --set seed=x", "seed"},
        {"eval --data=. --set-name=tests --weights=fake.csv", "safetensors"},
    };
    enter();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int code = fake(rows[i].line), want = strstr(rows[i].line, "--weights") ? 5 : 2;
        cr_assert_eq(code, want, "%s: %d", rows[i].line, code);
        cr_assert(strstr(complained, rows[i].told), "%s: %s", rows[i].line, complained);
        cr_assert_eq(strncmp(complained, "error: ", 7), 0);
        cr_assert(!*said);
    }
}

Test(runtime_process, faults_of_data_and_places) {
    enter();
    cr_assert_eq(fake("train"), 5);
    cr_assert(strstr(complained, "fake.csv: no such data file"));
    setenv("GRADUS_DATA", ".", 1);
    cr_assert_eq(fake("train -q"), 0);
    cr_assert_eq(fake("train --out=fake.csv"), 1);
    cr_assert(strstr(complained, "folder"));
    cr_assert_eq(fake("train --log=nowhere/log"), 1);
    cr_assert_eq(fake("eval --out=none"), 5);
    cr_assert(strstr(complained, "run `train` first"));
    cr_assert_eq(fake("eval --set-name=tests"), 2);
    cr_assert_eq(fake("train --resume=fake.safetensors"), 5);
    cr_assert_eq(fake("train --resume=none.safetensors"), 5);
    cr_assert(!truncate("fake.safetensors", file_size("fake.safetensors") - 10));
    cr_assert_eq(fake("eval"), 5);
    cr_assert(strstr(complained, "truncated"));
    FILE *file = fopen("fake.csv", "a");
    fputs("1,1,1,1,3\n", file);
    fclose(file);
    cr_assert_eq(fake("train"), 5);
    cr_assert(strstr(complained, "example 150 has class 3"), "%s", complained);
}

Test(runtime_process, trains_and_evaluates_the_kept_weights) {
    enter();
    cr_assert_eq(fake("train --data=. --log=log.jsonl --epochs=40"), 0);
    cr_assert_eq(lines(said, "epoch "), 41, "one plain line an epoch, and the best: %s", said);
    char *best = strstr(said, "best: epoch");
    char *numbers = io_format("%.*s", (int)strcspn(strstr(best, "validation"), "\n"),
                              strstr(best, "validation"));
    char *log = text_of("log.jsonl");
    cr_assert_eq(lines(log, "{\"type\":\"header\""), 1);
    cr_assert_eq(lines(log, "{\"type\":\"step\""), 160);
    cr_assert_eq(lines(log, "{\"type\":\"epoch\""), 40);
    cr_assert_eq(lines(log, "\"reason\":\"finished\""), 1);
    cr_assert_eq(fake("eval --data=."), 0);
    cr_assert(strstr(said, numbers), "%s has no %s", said, numbers);
    cr_assert_eq(fake("eval --data=. --set-name=validation"), 0);
    cr_assert(!strstr(said, "train loss"));
    double error = strtod(strstr(said, "error_rate") + 11, NULL);
    cr_assert(error < 0.3, "%s", said); /* chance is 0.67 */
    cr_assert_eq(fake("train --data=. --epochs=2 -q --out=quiet"), 0);
    cr_assert(!*said && !*complained);
}

Test(runtime_process, same_bits_for_any_threads) {
    enter();
    for (int threads = 1; threads <= 4; threads++) {
        char *line = io_format("train -q --data=. --out=t%d --threads=%d", threads, threads);
        cr_assert_eq(fake(line), 0, "%s", complained);
        cr_assert(same("t1/fake.safetensors", io_format("t%d/fake.safetensors", threads)));
        cr_assert(
            same("t1/fake.last.safetensors", io_format("t%d/fake.last.safetensors", threads)));
    }
    cr_assert_eq(fake("train -q --data=. --out=s --seed=8"), 0);
    cr_assert(!same("t1/fake.safetensors", "s/fake.safetensors"));
    cr_assert_eq(fake("train -q --data=. --out=u --set optimizer.lr=0.2"), 0);
    cr_assert(!same("t1/fake.safetensors", "u/fake.safetensors"));
}

Test(runtime_process, resumes_to_the_bit_from_any_step) {
    enter();
    cr_assert_eq(fake("train -q --data=. --out=a --epochs=6"), 0);
    for (int stop = 1; stop <= 9; stop++) {
        cr_assert_eq(fake(io_format("train -q --data=. --out=b --steps=%d", stop)), 0);
        cr_assert_eq(fake("train -q --data=. --out=b --resume --epochs=6"), 0, "%s", complained);
        cr_assert(same("a/fake.last.safetensors", "b/fake.last.safetensors"), "step %d", stop);
        cr_assert(same("a/fake.safetensors", "b/fake.safetensors"), "step %d", stop);
    }
    cr_assert_eq(fake("train --data=. --out=b --resume"), 0);
    cr_assert(strstr(said, "already trained"));
}

static void interrupted(int number) {
    enter();
    pid_t child =
        start("train -q --data=. --out=b --threads=1 --steps=1000000000 --log=l", "out.txt", 0);
    for (int i = 0; i < 2000 && file_size("l") < 200000; i++)
        usleep(2000); /* well under way */
    kill(child, number);
    cr_assert_eq(finish(child), 128 + number, "%s", complained);
    TensorFile file;
    Fault fault;
    cr_assert(tensors_read("b/fake.last.safetensors", &file, &fault), "%s", fault.text);
    long step = strtol(tensors_meta(&file, "step"), NULL, 10);
    cr_assert(step > 0, "step %ld", step);
    const char *more = io_format("train -q --data=. --threads=1 --steps=%ld --out=", step + 2000);
    cr_assert_eq(fake(io_format("%sb --resume", more)), 0, "%s", complained);
    cr_assert_eq(fake(io_format("%sa", more)), 0);
    cr_assert(same("a/fake.last.safetensors", "b/fake.last.safetensors"), "from step %ld", step);
    cr_assert(same("a/fake.safetensors", "b/fake.safetensors"), "from step %ld", step);
}
Test(runtime_process, sigint_keeps_everything) {
    interrupted(SIGINT);
}
Test(runtime_process, sigterm_keeps_everything) {
    interrupted(SIGTERM);
}

Test(runtime_process, divergence_is_told_and_the_last_good_weights_stay) {
    enter();
    cr_assert_eq(fake("train -q --data=. --out=d --epochs=1"), 0);
    cr_assert_eq(fake("train --data=. --out=d --log=d.jsonl --resume --epochs=3 "
                      "--set optimizer.lr=1e40"),
                 3);
    cr_assert(strstr(complained, "diverged at step") && strstr(complained, "--set optimizer.lr"));
    cr_assert(strstr(text_of("d.jsonl"), "\"reason\":\"diverged\""));
    TensorFile file;
    Fault fault;
    cr_assert(tensors_read("d/fake.last.safetensors", &file, &fault), "%s", fault.text);
    cr_assert_str_eq(tensors_meta(&file, "step"), "4");
    cr_assert_eq(fake("eval --data=. --weights=d/fake.last.safetensors"), 0, "%s", complained);
    cr_assert_eq(fake("train --data=. --out=e --set optimizer.lr=1e40"), 3);
    cr_assert(!io_exists("e/fake.last.safetensors") && !io_exists("e/fake.safetensors"));
}

Test(runtime_process, stop_rule_is_a_success) {
    enter();
    cr_assert_eq(fake("train --data=. --epochs=500 --set stop.window=2 --log=l"), 0);
    cr_assert(strstr(said, "stopped by its rule") && strstr(text_of("l"), "\"stop rule\""));
    cr_assert(lines(said, "validation") < 500);
}

Test(runtime_process, predicts_csv) {
    enter();
    cr_assert_eq(fake("train -q --data=."), 0);
    cr_assert_eq(fake("predict --data=."), 0);
    cr_assert(!strncmp(said, "example,kind,p0,p1,p2\n4,", 24), "%s", said);
    cr_assert_eq(lines(said, "\n"), 31);
    cr_assert_eq(fake("predict --data=. --set-name=train"), 0);
    cr_assert_eq(lines(said, "\n"), 121);
    FILE *file = fopen("new.csv", "w");
    fputs("a,b,c,d\n0.5,0.4,0.3,0.2\n2.9,0.1,0.2,0.1\n", file);
    fclose(file);
    cr_assert_eq(fake("predict --input=new.csv --output=p.csv"), 0, "%s", complained);
    char *text = text_of("p.csv"), *at = strchr(text, '\n') + 1;
    int kind;
    double p[3];
    cr_assert_eq(sscanf(at, "0,%d,%lf,%lf,%lf\n", &kind, p, p + 1, p + 2), 4, "%s", text);
    cr_assert_float_eq(p[0] + p[1] + p[2], 1, 1e-6);
    cr_assert(p[kind] >= p[0] && p[kind] >= p[1] && p[kind] >= p[2]);
    file = fopen("new.csv", "w");
    fputs("a,b,c\n0.5,0.4,0.3\n", file);
    fclose(file);
    cr_assert_eq(fake("predict --input=new.csv"), 5);
    cr_assert(strstr(complained, "takes 4"));
}

Test(runtime_process, full_disk_is_told) {
    enter();
    cr_assert_eq(fake("train -q --data=."), 0);
    cr_assert_eq(finish(start("predict --data=.", "/dev/full", 0)), 1);
    cr_assert(strstr(complained, "disk is full"));
    char *before = io_format("%s", "kept");
    cr_assert(!rename("fake.safetensors", before));
    cr_assert(!link(before, "fake.safetensors"));
    cr_assert_eq(finish(start("train -q --data=. --epochs=2", "out.txt", 500)), 1);
    cr_assert(strstr(complained, "old file stays"), "%s", complained);
    cr_assert(same(before, "fake.safetensors"));
}

/* So many steps that they last some ticks: under a limit of CPU time (ulimit -t) the system counts
 * a process's time by ticks. */
Test(runtime_process, bench_prints_one_line) {
    enter();
    double time[5], cpu, flops;
    int steps, batch, threads, end = 0;
    long resident;
    static const struct {
        const char *words;
        int batch;
        bool random;
    } tries[] = {{"bench --steps=20001 --threads=2 --data=.", 32, false},
                 {"bench --steps=20001 --threads=2", 32, true},
                 {"bench --one --steps=20001 --threads=2 --data=.", 1, false}};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(fake(tries[i].words), 0);
        cr_assert_eq(sscanf(said,
                            "{\"median_us\":%lf,\"min_us\":%lf,\"q1_us\":%lf,\"q3_us\":%lf,"
                            "\"max_us\":%lf,\"cpu_us\":%lf,\"steps\":%d,\"batch\":%d,"
                            "\"threads\":%d,\"flops\":%lf,\"resident_kib\":%ld}\n%n",
                            &time[2], &time[0], &time[1], &time[3], &time[4], &cpu, &steps, &batch,
                            &threads, &flops, &resident, &end),
                     11, "%s", said);
        cr_assert(!said[end] && time[0] > 0 && cpu > 0 && resident > 0, "%s", said);
        for (int k = 0; k < 4; k++)
            cr_assert_leq(time[k], time[k + 1], "%s", said);
        cr_assert(steps == 20001 && batch == tries[i].batch && threads == 2, "%s", said);
        if (batch == 32) cr_assert_eq(flops, 1e7);
        cr_assert_eq(strstr(complained, "random data") != NULL, tries[i].random);
    }
}

Test(runtime_process, bench_profiles_each_kernel) {
    enter();
    for (int threads = 1; threads <= 2; threads++) {
        char *words = io_format("bench --profile --steps=3 --threads=%d --data=.", threads);
        cr_assert_eq(fake(words), 0);
        free(words);
        double peak = 0;
        const char *told = strstr(said, "\"peak_gflops\":");
        cr_assert(told && sscanf(told, "\"peak_gflops\":%lf", &peak) == 1 && peak > 0.1, "%s", said);
        const char *row = strstr(complained, "  all of a block\n");
        cr_assert(row && strstr(complained, "  step, by blocks\n"), "%s", complained);
        while (row > complained && row[-1] != '\n')
            row--;
        double us, share, mflop, rate, of_peak;
        cr_assert_eq(sscanf(row, "%lf %lf%% %lf %lf %lf%%", &us, &share, &mflop, &rate, &of_peak), 5);
        cr_assert_float_eq(mflop, 10, 1e-9);
        cr_assert(us > 0 && rate > 0, "%s", complained);
        cr_assert_float_eq(of_peak, 100 * rate / peak, 0.6, "%s", complained);
    }
}

Test(runtime_process, info_needs_no_files) {
    enter();
    cr_assert_eq(fake("info"), 0);
    cr_assert(strstr(said, "kind: class[3]") && strstr(said, "dense1.W[3, 4]") &&
              strstr(said, "optimizer.lr") && strstr(said, "x[4]"));
}
