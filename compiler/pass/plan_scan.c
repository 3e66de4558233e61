/* SPDX-License-Identifier: MIT
 * Recurrences in the plan: what a step reads of earlier ones, which kernels follow which, and the
 * order of the kernels in one step.
 * Needs kernels that know their group. Runs nothing and places nothing. */
#include "plan.h"

bool plan_carried(const ProgramPlan *program, const Kernel *kernel, const Scalar *read) {
    int64_t offset;
    return kernel->group && map_get(&program->groups, node_value(read->node)) == kernel->group &&
           (!scan_offset(read, &offset) || offset != 0);
}

bool plan_follows(const ProgramPlan *program, const Kernel *kernel, const Kernel *other, int *mark,
                  int stamp) {
    if (kernel == other) return true;
    if (mark[kernel->number] == stamp) return false;
    mark[kernel->number] = stamp;
    for (int i = 0; i < kernel->after.len; i++)
        if (plan_follows(program, kernel->after.at[i], other, mark, stamp)) return true;
    if (!kernel->group || kernel->group == other->group) return false;
    for (int k = 0; k < program->kernels.len; k++) /* its whole group runs before anything else */
        if (program->kernels.at[k]->group == kernel->group &&
            plan_follows(program, program->kernels.at[k], other, mark, stamp))
            return true;
    return false;
}

bool plan_group_ready(const ProgramPlan *program, const ScanGroup *group) {
    for (int k = 0; k < program->kernels.len; k++) {
        const Kernel *kernel = program->kernels.at[k];
        for (int i = 0; kernel->group == group && i < kernel->after.len; i++)
            if (kernel->after.at[i]->phase < 0 && kernel->after.at[i]->group != group) return false;
    }
    return true;
}

void plan_group_place(Plan *plan, ProgramPlan *program, const ScanGroup *group, int number,
                      PlanPhase *phase) {
    for (bool more = true; more;) {
        more = false;
        for (int k = 0; k < program->kernels.len && !more; k++) {
            Kernel *kernel = program->kernels.at[k];
            bool ready = kernel->group == group && kernel->phase < 0;
            for (int i = 0; ready && i < kernel->after.len; i++)
                ready = kernel->after.at[i]->phase >= 0;
            if (!ready) continue;
            kernel->phase = number;
            VEC_PUSH(plan->arena, phase->kernels, kernel);
            more = true;
        }
    }
}
