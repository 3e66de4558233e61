/* SPDX-License-Identifier: MIT
 * The training loop: epochs of shuffled steps, evaluation, best weights, stop rules, checkpoints.
 * Needs run.h. Computes nothing of the model itself: programs do. */
#include "training.h"
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const double save_seconds = 30; /* at least this long between two checkpoints */
static const double safe_seconds = 5;  /* between two copies to go back to */

static const char *const ending_names[] = {"",         "finished", "stop rule", "interrupted",
                                           "diverged", "failed"};

static volatile sig_atomic_t caught;

static void note_signal(int number) {
    caught = number;
}

static void catch_signals(void) {
    /* The second signal meets the default action again: it ends the process at once. */
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- Setting up */

/* The best weights are chosen by a set that the model names, else by validation, else by test. */
static void find_chooser(Training *t) {
    const char *best = t->run->model->best ? t->run->model->best : "loss";
    const Set *validation = run_set(t->run, "validation"), *test = run_set(t->run, "test");
    const char *dot = strchr(best, '.');
    t->by = dot ? dot + 1 : best;
    t->chooser = validation ? validation : test;
    if (dot) t->chooser = !strncmp(best, "train.", 6) ? t->train : test;
    if (t->chooser && t->chooser == test && !t->run->options->quiet)
        warn("%sthe best weights are chosen by the test set, so its numbers flatter",
             validation ? "" : "there is no validation set: ");
}

static bool find_parts(Training *t) {
    Run *run = t->run;
    const GrModel *model = run->model;
    t->step = run_program(run, GR_STEP);
    t->after = run_program(run, GR_EPOCH);
    t->train = run_set(run, "train");
    if (!t->step || !t->train)
        return fault_set(t->fault, GR_FAILED,
                         "model '%s' has no training: add `train %s on DATA { … }` to %s",
                         model->name, model->name, model->source_path);
    t->loss = run_result(t->step, "loss");
    find_chooser(t);
    t->course = (Course){model, t->step->batch, t->train->count};
    if (model->batch_all && t->train->count > t->step->batch)
        return fault_set(t->fault, GR_BAD_DATA,
                         "batch = all was compiled for %d examples, the training set has %lld: "
                         "compile the model again",
                         t->step->batch, (long long)t->train->count);
    return true;
}

/* This epoch's updates, from wherever in it training stands. */
static bool plan_epoch(Training *t) {
    const Progress *progress = &t->progress;
    int64_t done = course_begun(&t->course, progress->step, progress->position, progress->epoch);
    t->steps_per_epoch = course_epoch(&t->course, done, progress->epoch, &t->usable);
    if (t->steps_per_epoch) return true;
    return fault_set(t->fault, GR_BAD_DATA,
                     "the training set has %lld examples, fewer than a batch of %lld, and "
                     "last = \"drop\" leaves none: take a smaller batch",
                     (long long)t->train->count,
                     (long long)course_size(&t->course, done + 1, progress->epoch));
}

/* How many updates in all: asked for, else recorded, else the model's. */
static int64_t total_steps(const Training *t) {
    const Options *options = t->run->options;
    const GrModel *model = t->run->model;
    int64_t taken, by_epochs = course_walk(&t->course, options->epochs, INT64_MAX / 2, &taken);
    if (options->epochs && options->steps)
        return options->steps < by_epochs ? options->steps : by_epochs;
    if (options->steps) return options->steps;
    if (options->epochs) return by_epochs;
    if (t->progress.total) return t->progress.total;
    return model->steps ? model->steps : course_walk(&t->course, model->epochs, INT64_MAX / 2, &taken);
}

static void set_metrics(Training *t) {
    const Metrics *metrics = &t->progress.metrics;
    for (int i = 0; i < metrics->count; i++) {
        char name[256];
        snprintf(name, sizeof name, "%s.%s", metrics->item[i].set, metrics->item[i].name);
        run_hyper(t->run, name, metrics->item[i].value);
    }
}

static const char *resume_path(const Run *run) {
    return run->options->resume_file ? run->options->resume_file : run->last_path;
}

static bool start_weights(Training *t) {
    Run *run = t->run;
    const Options *options = run->options;
    Progress *progress = &t->progress;
    size_t persistent = (size_t)run->model->persistent;
    progress->npresented = t->train->data->count;
    progress->presented = io_alloc((size_t)progress->npresented, sizeof(uint32_t));
    progress->best = io_alloc(persistent, 1);
    if ((t->each_loss = run_result(t->step, "example.loss"))) {
        size_t count = (size_t)progress->npresented;
        progress->losses = io_alloc(count, sizeof(double));
        progress->known = io_alloc(count, sizeof(double));
        for (size_t i = 0; i < count; i++)
            progress->losses[i] = progress->known[i] = NAN;
    }
    safe_open(&t->safe, run, progress);
    if (!options->resume && !options->weights)
        return run_init(run, t->fault) && load_start(run, t->fault);
    if (!options->resume) return checkpoint_load(run, options->weights, t->fault);
    if (!checkpoint_resume(run, resume_path(run), progress, t->fault)) return false;
    set_metrics(t);
    return true;
}

/* ---- Keeping */

bool training_save(Training *t, const char *mem, const Progress *progress, bool best) {
    t->saved = io_now();
    /* The best first: what ends between the two goes on from an older `last` to the same best. */
    bool ok = true;
    if (t->progress.has_best)
        ok = checkpoint_write_best(t->run, &t->progress, t->progress.best, t->fault);
    else if (best)
        ok = checkpoint_write_best(t->run, progress, mem, t->fault);
    return ok && checkpoint_write_last(t->run, progress, mem, t->fault);
}

/* A checkpoint that cannot be written now is no reason to lose what is still in memory. */
static void save_on_the_way(Training *t) {
    if (training_save(t, t->run->mem, &t->progress, false)) return;
    bar_clear(&t->bar);
    warn("%s; training goes on", t->fault->text);
    t->fault->code = GR_OK;
}

/* Are the weights numbers? Then this is a place to go back to. */
static bool keep_safe(Training *t) {
    if (run_spoilt(t->run)) return false;
    safe_keep(&t->safe, t->run, &t->progress);
    t->kept = io_now();
    return true;
}

static void choose_best(Training *t) {
    const GrModel *model = t->run->model;
    Progress *progress = &t->progress;
    const double *value = NULL;
    if (t->chooser) {
        value = metrics_find(&progress->metrics, t->chooser->name, t->by);
        if (!value) value = metrics_find(&progress->metrics, t->chooser->name, "loss");
    }
    if (!value || isnan(*value)) return;
    bool better = model->best_max ? *value > progress->best_value : *value < progress->best_value;
    if (progress->has_best && !better) return;
    progress->has_best = true;
    progress->best_value = *value;
    progress->best_epoch = progress->epoch + 1;
    progress->best_step = progress->step;
    progress->best_metrics = progress->metrics;
    memcpy(progress->best, t->run->mem, (size_t)model->persistent);
}

/* ---- Running */

static void set_hypers(Training *t, int64_t live) {
    Run *run = t->run;
    const Progress *progress = &t->progress;
    run_hyper(run, "step", (double)(progress->step + 1));
    run_hyper(run, "epoch", (double)progress->epoch);
    run_hyper(run, "steps_per_epoch", (double)t->steps_per_epoch);
    run_hyper(run, "progress", (double)progress->step / (double)progress->total);
    run_hyper(run, "count", (double)live);
}

static void keep_losses(Training *t, const GrBuffer *each_loss) {
    if (!t->progress.losses) return;
    for (int64_t i = 0; i < t->batch.live; i++)
        t->progress.losses[t->batch.examples[i]] = run_value(t->run, each_loss, i, 0);
}

int64_t training_batch(Training *t) {
    Progress *progress = &t->progress;
    int64_t left = t->usable - progress->position,
            size = course_size(&t->course, progress->step + 1, progress->epoch);
    t->batch.live = left < size ? left : size;
    t->batch.examples = t->order + progress->position;
    set_hypers(t, t->batch.live);
    order_again(&t->batch, progress->presented, t->again);
    return size;
}

Ending training_step(Training *t) {
    Run *run = t->run;
    Progress *progress = &t->progress;
    int64_t left = t->usable - progress->position, size = training_batch(t);
    if (!order_enough(run->model, t->batch.live, 0, t->fault) ||
        !run_check(run, progress, t->fault))
        return FAILED;
    bool last = size >= left || progress->step + 1 == progress->total,
         watched = watch_step(&t->watch, &t->batch, progress->step + 1, last);
    if (!watched) batch_run(&t->batch, run->team);
    double loss = run_value(run, watched ? t->watch.loss : t->loss, 0, 0);
    progress->step++;
    if (!t->again_over) {
        log_step(&t->log, progress->step, progress->epoch, loss, t->loss->bytes);
        watch_flags(&t->watch, progress->step, &t->bar);
    }
    t->bad_loss = loss;
    if (!isfinite(loss)) return DIVERGED;
    for (int64_t i = 0; i < t->batch.live; i++)
        progress->presented[t->batch.examples[i]]++;
    keep_losses(t, watched ? t->watch.each_loss : t->each_loss);
    progress->position += t->batch.live;
    progress->loss_sum += loss * (double)t->batch.live;
    progress->loss_count += t->batch.live;
    t->examples += t->batch.live;
    t->epoch_examples += t->batch.live;
    bar_show(&t->bar, progress, t->epochs, (progress->position + size - 1) / size,
             t->steps_per_epoch, t->examples);
    return caught ? INTERRUPTED : progress->step >= progress->total ? FINISHED : GOING;
}

static bool make_order(Training *t) {
    Progress *progress = &t->progress;
    bool whole = course_size(&t->course, progress->step + 1, progress->epoch) >= t->train->count;
    if (progress->known && !progress->position)
        memcpy(progress->known, progress->losses,
               (size_t)progress->npresented * sizeof *progress->known);
    if (whole && run_program(t->run, GR_ORDER) && !t->warned && !t->run->options->quiet)
        warn("the order of examples has no effect: a batch holds all of them");
    t->warned |= whole;
    return order_make(t->run, t->train, progress, whole, t->order, t->fault);
}

static bool evaluate_sets(Training *t) {
    static const char *const others[] = {"validation", "test"};
    Progress *progress = &t->progress;
    progress->metrics.count = 0;
    bar_clear(&t->bar);
    if (run_measures_train(t->run->model) &&
        !evaluate(t->run, t->train, &progress->metrics, t->fault))
        return false;
    metrics_put(&progress->metrics, "train", "loss",
                progress->loss_sum / (double)progress->loss_count);
    for (int i = 0; i < 2; i++) {
        const Set *set = run_set(t->run, others[i]);
        if (set && run_program(t->run, GR_EVAL) &&
            !evaluate(t->run, set, &progress->metrics, t->fault))
            return false;
    }
    set_metrics(t);
    return true;
}

static void tell_epoch(Training *t) {
    const Progress *progress = &t->progress;
    double seconds = io_now() - t->epoch_start;
    log_epoch(&t->log, t->run, progress, seconds, (double)t->epoch_examples / seconds);
    if (t->run->options->quiet) return;
    printf("epoch %lld/%lld  loss %.5g", (long long)progress->epoch + 1, (long long)t->epochs,
           progress->loss_sum / (double)progress->loss_count);
    for (int i = 0; i < t->run->model->nsets; i++) {
        const char *set = t->run->model->sets[i].name;
        if (!strcmp(set, "train") || !run_set(t->run, set)) continue;
        fputs("  ", stdout);
        metrics_print(stdout, &progress->metrics, set);
    }
    printf("  %.1f s\n", seconds);
    watch_tell(&t->watch);
    fflush(stdout);
}

/* The epoch's end: evaluate, keep the best, ask the stop rule. */
static Ending end_epoch(Training *t, Ending ending) {
    Run *run = t->run;
    Progress *progress = &t->progress;
    if (!evaluate_sets(t)) return FAILED;
    choose_best(t);
    if (t->after) {
        const GrBuffer *stop = run_result(t->after, "stop");
        run_plain(run, t->after);
        if (stop && run_value(run, stop, 0, 0) != 0) ending = STOPPED;
        watch_evaluation(&t->watch, progress->step, &t->bar);
    }
    tell_epoch(t);
    progress->epoch++;
    progress->position = 0;
    progress->loss_sum = 0;
    progress->loss_count = 0;
    return ending;
}

static Ending one_epoch(Training *t) {
    Ending ending = GOING;
    if (!plan_epoch(t)) return FAILED;
    if (!make_order(t)) return FAILED;
    if (!keep_safe(t)) return DIVERGED;
    t->epoch_start = io_now();
    t->epoch_examples = 0;
    while (ending == GOING && t->progress.position < t->usable) {
        ending = training_step(t);
        int64_t every = t->run->options->save_every;
        bool asked = ending == GOING && every && t->progress.step % every == 0;
        bool due = asked || (ending == GOING && io_now() - t->kept > safe_seconds);
        if (due && !keep_safe(t)) ending = DIVERGED;
        if (due && ending == GOING && (asked || io_now() - t->saved > 10 * save_seconds))
            save_on_the_way(t);
    }
    if (ending == FAILED) return FAILED;
    if (ending == DIVERGED || run_spoilt(t->run)) return DIVERGED;
    if (t->progress.position >= t->usable) {
        ending = end_epoch(t, ending);
    } else if (ending == FINISHED) {
        /* In the midst of an epoch: what resumes must not see this evaluation. */
        if (!checkpoint_write_last(t->run, &t->progress, t->run->mem, t->fault)) return FAILED;
        if (!evaluate_sets(t)) return FAILED;
        tell_epoch(t);
        choose_best(t);
    }
    return ending;
}

/* ---- Ending */

/* What is done once, on the weights that are kept; their numbers are taken anew. */
static bool keep(Training *t) {
    Run *run = t->run;
    Progress *progress = &t->progress;
    size_t size = (size_t)run->model->persistent;
    if (!after_wanted(run)) return true;
    if (!progress->has_best) return after_training(run, t->fault);
    char *last = io_alloc(size, 1);
    memcpy(last, run->mem, size);
    memcpy(run->mem, progress->best, size);
    bool ok = after_training(run, t->fault);
    for (int i = 0; ok && i < run->model->nsets; i++) {
        const Set *set = run_set(run, run->model->sets[i].name);
        if (set && set != t->train) ok = evaluate(run, set, &progress->best_metrics, t->fault);
    }
    memcpy(progress->best, run->mem, size);
    memcpy(run->mem, last, size);
    free(last);
    return ok;
}

static bool finish(Training *t, Ending ending) {
    Progress *progress = &t->progress;
    bool in_epoch = progress->position > 0 && ending == FINISHED;
    if (ending == DIVERGED) return training_diverged(t);
    if (ending != INTERRUPTED && !keep(t)) return false;
    if (in_epoch) { /* `last` was written before the evaluation */
        const char *mem = progress->has_best ? progress->best : t->run->mem;
        return checkpoint_write_best(t->run, progress, mem, t->fault);
    }
    return training_save(t, t->run->mem, progress, !t->chooser);
}

static void tell_end(const Training *t, Ending ending) {
    const Run *run = t->run;
    const Progress *progress = &t->progress;
    if (run->options->quiet || ending == DIVERGED) return;
    if (ending == STOPPED)
        printf("stopped by its rule after epoch %lld\n", (long long)progress->epoch);
    if (run->options->verbose) numbers_tell(run);
    if (progress->has_best) {
        printf("best: epoch %lld", (long long)progress->best_epoch);
        for (int i = 0; i < run->model->nsets; i++) {
            const char *set = run->model->sets[i].name;
            if (!strcmp(set, "train") || !run_set(run, set)) continue;
            fputs("  ", stdout);
            metrics_print(stdout, &progress->best_metrics, set);
        }
        printf("\nweights: %s\n", run->best_path);
    } else if (!t->chooser) {
        printf("weights: %s (the last: there is no set to choose by)\n", run->best_path);
    }
    if (ending == INTERRUPTED)
        printf("interrupted at step %lld; `train --resume` goes on from %s\n",
               (long long)progress->step, run->last_path);
}

static Ending train(Training *t) {
    Ending ending = t->progress.step >= t->progress.total ? FINISHED : GOING;
    if (ending == FINISHED && !t->run->options->quiet)
        printf("already trained for %lld steps of %lld; --epochs=N goes on\n",
               (long long)t->progress.step, (long long)t->progress.total);
    while (ending == GOING) {
        ending = one_epoch(t);
        if (ending == GOING && io_now() - t->saved > save_seconds) save_on_the_way(t);
        if (ending == GOING && caught) ending = INTERRUPTED;
    }
    bar_clear(&t->bar);
    return ending;
}

static int run_training(Training *t) {
    Run *run = t->run;
    const char *out = run->options->out && *run->options->out ? run->options->out : ".";
    if (!io_make_folder(out, t->fault) || !io_check_folder(out, t->fault) ||
        (run->options->resume && !checkpoint_settings(run, resume_path(run), t->fault)) ||
        !run_read_data(run, NULL, t->fault) || !find_parts(t) || !start_weights(t) ||
        !batch_bind(&t->batch, run->model, t->step, run->mem, t->train->data, t->fault) ||
        !watch_open(&t->watch, run, t->train->data, t->fault))
        return t->fault->code;
    const GrLeaf *spoilt = run_spoilt(run);
    if (spoilt) {
        trace_leaf(run, spoilt, t->train->data);
        return GR_DIVERGED;
    }
    Progress *progress = &t->progress;
    if (!plan_epoch(t)) return t->fault->code;
    progress->total = total_steps(t);
    course_walk(&t->course, INT64_MAX / 2, progress->total, &t->epochs);
    bool by_step = run->model->stages_by_step;
    for (int i = 0; !by_step && i < (run->model->nstages ? run->model->nstages : 1); i++)
        if (!order_enough(run->model, course_size(&t->course, 1, i ? run->model->stages[i].from : 0),
                          t->train->count, t->fault))
            return t->fault->code;
    t->again = order_room(run, t->step->batch);
    t->batch.again = t->again;
    t->batch.presented = progress->presented;
    t->order = io_alloc((size_t)t->train->count, sizeof *t->order);
    if (!log_open(&t->log, run, progress->step, t->fault)) return t->fault->code;
    t->log.watch = &t->watch;
    if (run->options->verbose)
        fprintf(stderr, "%lld training examples, %lld steps of %d, %d threads, %.1f MB\n",
                (long long)t->train->count, (long long)progress->total, t->step->batch,
                run->team->threads, (double)run->model->memory / 1e6);
    catch_signals();
    t->saved = io_now();
    bar_start(&t->bar, run->options, progress->step);
    bool done = progress->step >= progress->total;
    Ending ending = train(t);
    /* A training that ended in an epoch may have been killed before its best weights were there. */
    if (done && progress->position) {
        done = false;
        if (!evaluate_sets(t)) return t->fault->code;
        choose_best(t);
    }
    if (ending == FAILED || (!done && !finish(t, ending))) return t->fault->code;
    if (!done) tell_end(t, ending);
    log_stop(&t->log, progress, ending_names[ending]);
    if (!log_close(&t->log, t->fault)) return t->fault->code;
    return ending == DIVERGED ? GR_DIVERGED : ending == INTERRUPTED ? 128 + (int)caught : GR_OK;
}

int verb_train(Run *run) {
    if (run->options->follow) return verb_follow(run);
    Fault fault = {0};
    Training t = {.run = run, .fault = &fault};
    int code = run_training(&t);
    if (fault.code) complain(&fault);
    batch_free(&t.batch);
    watch_close(&t.watch);
    free(t.order);
    free(t.again);
    free(t.progress.losses);
    free(t.progress.known);
    free(t.progress.presented);
    free(t.progress.best);
    safe_close(&t.safe);
    return code;
}
