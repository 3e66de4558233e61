/* SPDX-License-Identifier: MIT
 * A model's leaves and where training stands, in a safetensors file and back. Needs run.h.
 * Loads all or nothing. "best:" and "run:" tensors are only in the file that resumes. */
#include "run.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char best_prefix[] = "best:", presented_name[] = "run:presentations",
                  losses_name[] = "run:losses", known_name[] = "run:known_losses";

/* What is collected after training, "after:…", is no part of what was learned. */
static bool is_kept(const GrLeaf *leaf) {
    return !strchr(leaf->buffer.name, ':');
}

static void add_leaf(TensorFile *file, const GrLeaf *leaf, const char *name, const char *mem) {
    if (!is_kept(leaf)) return;
    Tensor tensor = {.name = name,
                     .rank = leaf->buffer.rank,
                     .count = leaf->buffer.count,
                     .type = leaf->buffer.bytes == 8 ? TENSOR_F64 : TENSOR_F32,
                     .bytes = (const unsigned char *)mem + leaf->buffer.offset};
    memcpy(tensor.extent, leaf->buffer.extent, sizeof tensor.extent);
    tensors_add(file, tensor);
}

static void note_number(TensorFile *file, const char *name, double value) {
    char text[NUMBER_TEXT];
    tensors_note(file, name, "%s", number_text(value, 8, text));
}

static void note_metrics(TensorFile *file, const char *prefix, const Metrics *metrics) {
    for (int i = 0; i < metrics->count; i++) {
        char *name = io_format("%s.%s.%s", prefix, metrics->item[i].set, metrics->item[i].name);
        note_number(file, name, metrics->item[i].value);
        free(name);
    }
}

static void note_run(TensorFile *file, const Run *run, int64_t step, int64_t epoch) {
    const GrModel *model = run->model;
    tensors_note(file, "format", "gradus 1");
    tensors_note(file, "model", "%s", model->name);
    tensors_note(file, "model_hash", "%016" PRIx64, model->model_hash);
    tensors_note(file, "data_hash", "%016" PRIx64, run_data_hash(run));
    tensors_note(file, "compiler", "%s", model->compiler);
    tensors_note(file, "seed", "%" PRIu64, run->seed);
    tensors_note(file, "step", "%" PRId64, step);
    tensors_note(file, "epoch", "%" PRId64, epoch);
    tensors_note(file, "data_count", "%" PRId64, run->data_count);
    for (int i = 0; i < run->options->nsettings; i++) {
        char *name = io_format("set:%s", run->options->settings[i].name);
        note_number(file, name, run->options->settings[i].value);
        free(name);
    }
}

bool checkpoint_write_best(const Run *run, const Progress *progress, const char *mem,
                           Fault *fault) {
    TensorFile file = {0};
    bool best = progress->has_best;
    note_run(&file, run, best ? progress->best_step : progress->step,
             best ? progress->best_epoch : progress->epoch);
    if (best) note_metrics(&file, "metric", &progress->best_metrics);
    for (int i = 0; i < run->model->nleaves; i++)
        add_leaf(&file, &run->model->leaves[i], run->model->leaves[i].buffer.name, mem);
    bool ok = tensors_write(run->best_path, &file, fault);
    tensors_free(&file);
    return ok;
}

bool checkpoint_write_last(const Run *run, const Progress *progress, const char *mem,
                           Fault *fault) {
    const GrModel *model = run->model;
    TensorFile file = {0};
    char **names = io_alloc((size_t)model->nleaves, sizeof *names);
    note_run(&file, run, progress->step, progress->epoch);
    tensors_note(&file, "position", "%" PRId64, progress->position);
    tensors_note(&file, "total", "%" PRId64, progress->total);
    tensors_note(&file, "loss_count", "%" PRId64, progress->loss_count);
    note_number(&file, "loss_sum", progress->loss_sum);
    note_metrics(&file, "metric", &progress->metrics);
    for (int i = 0; i < model->nleaves; i++)
        add_leaf(&file, &model->leaves[i], model->leaves[i].buffer.name, mem);
    if (progress->has_best) {
        note_number(&file, "best_value", progress->best_value);
        tensors_note(&file, "best_epoch", "%" PRId64, progress->best_epoch);
        tensors_note(&file, "best_step", "%" PRId64, progress->best_step);
        note_metrics(&file, "best_metric", &progress->best_metrics);
        for (int i = 0; i < model->nleaves; i++) {
            names[i] = io_format("%s%s", best_prefix, model->leaves[i].buffer.name);
            add_leaf(&file, &model->leaves[i], names[i], progress->best);
        }
    }
    if (progress->npresented)
        tensors_add(&file, (Tensor){.name = presented_name,
                                    .type = TENSOR_U32,
                                    .rank = 1,
                                    .extent = {progress->npresented},
                                    .count = progress->npresented,
                                    .bytes = (const unsigned char *)progress->presented});
    const double *losses[] = {progress->losses, progress->known};
    for (int i = 0; i < 2 && losses[i]; i++)
        tensors_add(&file, (Tensor){.name = i ? known_name : losses_name,
                                    .type = TENSOR_F64,
                                    .rank = 1,
                                    .extent = {progress->npresented},
                                    .count = progress->npresented,
                                    .bytes = (const unsigned char *)losses[i]});
    bool ok = tensors_write(run->last_path, &file, fault);
    for (int i = 0; i < model->nleaves; i++)
        free(names[i]);
    free(names);
    tensors_free(&file);
    return ok;
}

/* ---- Reading */

static double tensor_value(const Tensor *tensor, int64_t element) {
    float narrow;
    double wide;
    if (tensor->type == TENSOR_F64) {
        memcpy(&wide, tensor->bytes + 8 * element, 8);
        return wide;
    }
    memcpy(&narrow, tensor->bytes + 4 * element, 4);
    return narrow;
}

static char *shape_text(int rank, const int64_t *extent) {
    char *text = io_format("[");
    for (int i = 0; i < rank; i++) {
        char *more = io_format("%s%s%lld", text, i ? ", " : "", (long long)extent[i]);
        free(text);
        text = more;
    }
    char *whole = io_format("%s]", text);
    free(text);
    return whole;
}

static bool check_leaf(const GrLeaf *leaf, const Tensor *tensor, const char *path, Fault *fault) {
    const GrBuffer *buffer = &leaf->buffer;
    if (tensor->rank != buffer->rank ||
        memcmp(tensor->extent, buffer->extent, sizeof(int64_t) * (size_t)buffer->rank) != 0) {
        char *has = shape_text(tensor->rank, tensor->extent);
        char *wants = shape_text(buffer->rank, buffer->extent);
        fault_set(fault, GR_BAD_DATA, "%s: '%s' has shape %s, but this model's has %s", path,
                  tensor->name, has, wants);
        free(has);
        free(wants);
        return false;
    }
    if (tensor->type != TENSOR_F32 && tensor->type != TENSOR_F64)
        return fault_set(fault, GR_BAD_DATA, "%s: '%s' is not made of floating-point numbers", path,
                         tensor->name);
    for (int64_t i = 0; i < tensor->count; i++) {
        double value = tensor_value(tensor, i);
        /* A state may hold infinity ("the best so far"); weights may not. */
        if (isnan(value) || (isinf(value) && leaf->kind != GR_STATE))
            return fault_set(fault, GR_BAD_DATA,
                             "%s: element %lld of '%s' is not a finite number: the run that wrote "
                             "it had diverged",
                             path, (long long)i, tensor->name);
    }
    return true;
}

/* Every leaf is there under its name (with a prefix), in its shape, finite. */
static bool check_leaves(const GrModel *model, const TensorFile *file, const char *prefix,
                         const char *path, Fault *fault) {
    for (int i = 0; i < model->nleaves; i++) {
        if (!is_kept(&model->leaves[i])) continue;
        char *name = io_format("%s%s", prefix, model->leaves[i].buffer.name);
        const Tensor *tensor = tensors_find(file, name);
        const char *from = tensors_meta(file, "model");
        if (!tensor)
            fault_set(fault, GR_BAD_DATA,
                      "%s: has no '%s', which model '%s' needs: it was written by model '%s'", path,
                      name, model->name, from ? from : "(unknown)");
        free(name);
        if (!tensor || !check_leaf(&model->leaves[i], tensor, path, fault)) return false;
    }
    return true;
}

static bool check_unexpected(const GrModel *model, const TensorFile *file, const char *path,
                             Fault *fault) {
    for (int t = 0; t < file->ntensors; t++) {
        const char *name = file->tensors[t].name;
        bool known = strchr(name, ':') != NULL; /* ours: "best:…", "run:…" */
        for (int i = 0; i < model->nleaves && !known; i++)
            known = !strcmp(name, model->leaves[i].buffer.name);
        if (!known)
            return fault_set(fault, GR_BAD_DATA,
                             "%s: holds '%s', which model '%s' does not have: it is of another "
                             "model",
                             path, name, model->name);
    }
    return true;
}

static void copy_leaf(const GrLeaf *leaf, const Tensor *tensor, char *mem) {
    const GrBuffer *buffer = &leaf->buffer;
    for (int64_t e = 0; e < buffer->count; e++) {
        if (buffer->bytes == 8)
            ((double *)(mem + buffer->offset))[e] = tensor_value(tensor, e);
        else
            ((float *)(mem + buffer->offset))[e] = (float)tensor_value(tensor, e);
    }
}

static void copy_leaves(const GrModel *model, const TensorFile *file, const char *prefix,
                        char *mem) {
    for (int i = 0; i < model->nleaves; i++) {
        if (!is_kept(&model->leaves[i])) continue;
        char *name = io_format("%s%s", prefix, model->leaves[i].buffer.name);
        copy_leaf(&model->leaves[i], tensors_find(file, name), mem);
        free(name);
    }
}

static bool read_number(const TensorFile *file, const char *name, double *value) {
    const char *text = tensors_meta(file, name);
    if (!text) return false;
    if (!strcmp(text, "nan") || !strcmp(text, "inf") || !strcmp(text, "-inf")) {
        *value = *text == 'n' ? NAN : *text == 'i' ? INFINITY : -INFINITY;
        return true;
    }
    return number_parse(text, strlen(text), value);
}

static bool read_whole(const TensorFile *file, const char *name, int64_t *value) {
    const char *text = tensors_meta(file, name);
    char *end;
    if (!text || *text < '0' || *text > '9') return false;
    long long number = strtoll(text, &end, 10);
    *value = number;
    return !*end;
}

bool checkpoint_load(Run *run, const char *path, Fault *fault) {
    TensorFile file;
    if (!tensors_read(path, &file, fault)) return false;
    bool ok = check_leaves(run->model, &file, "", path, fault) &&
              check_unexpected(run->model, &file, path, fault);
    if (ok) {
        copy_leaves(run->model, &file, "", run->mem);
        int64_t count;
        if (read_whole(&file, "data_count", &count)) run->data_count = count;
        const char *seed = tensors_meta(&file, "seed");
        if (seed && !run->options->has_seed) run->seed = strtoull(seed, NULL, 10);
        run_settings(run);
    }
    tensors_free(&file);
    return ok;
}

static const GrLeaf *find_leaf(const GrModel *model, const char *name) {
    for (int i = 0; i < model->nleaves; i++)
        if (!strcmp(model->leaves[i].buffer.name, name)) return &model->leaves[i];
    return NULL;
}

static bool has_part(const TensorFile *file, const char *name, size_t length) {
    for (int i = 0; i < file->ntensors; i++)
        if (!strncmp(file->tensors[i].name, name, length)) return true;
    return false;
}

/* `ratio.dense1.W` is `dense1.W` in a file that has no `ratio.`: that of the part alone. */
static const Tensor *find_taken(const TensorFile *file, const char *name) {
    const Tensor *tensor = tensors_find(file, name);
    const char *dot = strchr(name, '.');
    while (!tensor && dot && !has_part(file, name, (size_t)(dot - name) + 1)) {
        name = dot + 1;
        tensor = tensors_find(file, name);
        dot = strchr(name, '.');
    }
    return tensor;
}

bool checkpoint_take(Run *run, const char *path, const char *const *leaves, int count,
                     Fault *fault) {
    TensorFile file;
    if (!tensors_read(path, &file, fault)) return false;
    bool ok = true;
    for (int i = 0; i < count && ok; i++) {
        const GrLeaf *leaf = find_leaf(run->model, leaves[i]);
        const Tensor *tensor = find_taken(&file, leaves[i]);
        if (!leaf) continue;
        if (!tensor)
            ok = fault_set(fault, GR_BAD_DATA,
                           "%s: has no '%s', which `load` asks for; say what to take: "
                           "`load = weights(\"…\") on …`",
                           path, leaves[i]);
        else
            ok = check_leaf(leaf, tensor, path, fault);
    }
    for (int i = 0; i < count && ok; i++) {
        const GrLeaf *leaf = find_leaf(run->model, leaves[i]);
        if (leaf) copy_leaf(leaf, find_taken(&file, leaves[i]), run->mem);
    }
    tensors_free(&file);
    return ok;
}

/* "PREFIX.SET.NAME" back into metrics; only names that this model knows. */
static void read_metrics(const Run *run, const TensorFile *file, const char *prefix,
                         Metrics *metrics) {
    size_t size = strlen(prefix);
    for (int i = 0; i < file->nmeta; i++) {
        const char *name = file->meta[i].name;
        if (strncmp(name, prefix, size) != 0 || name[size] != '.') continue;
        for (int s = 0; s < run->model->nsets; s++) {
            const char *set = run->model->sets[s].name;
            size_t length = strlen(set);
            double value;
            const char *after = name + size + 1;
            if (strncmp(after, set, length) != 0 || after[length] != '.') continue;
            if (read_number(file, name, &value))
                metrics_put(metrics, set, io_format("%s", name + size + length + 2), value);
        }
    }
}

static void read_settings(Run *run, const TensorFile *file) {
    Options *options = run->options;
    for (int i = 0; i < file->nmeta; i++) {
        const char *name = file->meta[i].name;
        double value;
        if (strncmp(name, "set:", 4) != 0 || !read_number(file, name, &value)) continue;
        bool given = false;
        for (int s = 0; s < options->nsettings; s++)
            given |= !strcmp(options->settings[s].name, name + 4);
        if (!given && options->nsettings < MOST_SETTINGS)
            options->settings[options->nsettings++] = (Setting){io_format("%s", name + 4), value};
    }
}

bool checkpoint_settings(Run *run, const char *path, Fault *fault) {
    TensorFile file;
    if (!tensors_read(path, &file, fault)) return false;
    read_settings(run, &file);
    run_settings(run);
    tensors_free(&file);
    return true;
}

static bool read_progress(const TensorFile *file, const char *path, Progress *progress,
                          Fault *fault) {
    const Tensor *presented = tensors_find(file, presented_name);
    bool ok = read_whole(file, "step", &progress->step) &&
              read_whole(file, "epoch", &progress->epoch) &&
              read_whole(file, "position", &progress->position) &&
              read_whole(file, "loss_count", &progress->loss_count) &&
              read_number(file, "loss_sum", &progress->loss_sum) &&
              read_whole(file, "total", &progress->total) && presented;
    if (!ok)
        return fault_set(fault, GR_BAD_DATA,
                         "%s: does not say where training stood: it holds weights only; --resume "
                         "wants the file called *.last.safetensors",
                         path);
    if (presented->type != TENSOR_U32 || presented->count != progress->npresented)
        return fault_set(fault, GR_BAD_DATA,
                         "%s: was written for %lld examples, but the data has %lld", path,
                         (long long)presented->count, (long long)progress->npresented);
    return true;
}

static bool check_origin(Run *run, const TensorFile *file, const char *path, Fault *fault) {
    char hash[24];
    const char *model = tensors_meta(file, "model_hash"), *data = tensors_meta(file, "data_hash");
    const char *seed = tensors_meta(file, "seed");
    snprintf(hash, sizeof hash, "%016" PRIx64, run->model->model_hash);
    if (model && strcmp(model, hash) != 0)
        warn("%s: the model file has changed since; training goes on with the new one", path);
    snprintf(hash, sizeof hash, "%016" PRIx64, run_data_hash(run));
    if (data && strcmp(data, hash) != 0)
        warn("%s: the data has changed since; training goes on with the new data", path);
    uint64_t recorded = seed ? strtoull(seed, NULL, 10) : run->seed;
    if (run->options->has_seed && recorded != run->options->seed)
        return fault_set(fault, GR_USAGE,
                         "%s: was trained with seed %" PRIu64 "; leave --seed out to resume it",
                         path, recorded);
    run->seed = recorded;
    return true;
}

bool checkpoint_resume(Run *run, const char *path, Progress *progress, Fault *fault) {
    const GrModel *model = run->model;
    TensorFile file;
    if (!tensors_read(path, &file, fault)) return false;
    bool best = read_number(&file, "best_value", &progress->best_value) &&
                read_whole(&file, "best_epoch", &progress->best_epoch) &&
                read_whole(&file, "best_step", &progress->best_step);
    bool ok = check_leaves(model, &file, "", path, fault) &&
              check_unexpected(model, &file, path, fault) &&
              (!best || check_leaves(model, &file, best_prefix, path, fault)) &&
              check_origin(run, &file, path, fault) && read_progress(&file, path, progress, fault);
    if (ok) {
        copy_leaves(model, &file, "", run->mem);
        if (best) {
            memcpy(progress->best, run->mem, (size_t)model->persistent);
            copy_leaves(model, &file, best_prefix, progress->best);
        }
        progress->has_best = best;
        const Tensor *presented = tensors_find(&file, presented_name);
        memcpy(progress->presented, presented->bytes, (size_t)presented->count * 4);
        double *losses[] = {progress->losses, progress->known};
        for (int i = 0; i < 2 && losses[i]; i++) {
            const Tensor *tensor = tensors_find(&file, i ? known_name : losses_name);
            if (tensor && tensor->type == TENSOR_F64 && tensor->count == progress->npresented)
                memcpy(losses[i], tensor->bytes, (size_t)tensor->count * 8);
        }
        read_metrics(run, &file, "metric", &progress->metrics);
        read_metrics(run, &file, "best_metric", &progress->best_metrics);
        read_settings(run, &file);
        run_settings(run);
    }
    tensors_free(&file);
    return ok;
}
