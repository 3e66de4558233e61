# SPDX-License-Identifier: MIT
# Data races: an epoch with 2, 3 and 4 threads under ThreadSanitizer, generated code and runtime both watched. Part of job.sh ($1:
# a model file). Needs job.sh's functions and $own, $THREAD (a build of the runtime by clang with GRADUS_SANITIZE=thread), opt, clang.
tools=/usr/lib/llvm-19
thread_link() { # name, objects that go before the runtime
    out=$1
    shift
    "$tools/bin/clang" -fsanitize=thread -fopenmp=libomp "$own/model.o" "$@" "$THREAD/libgradus_runtime.a" \
        -L"$tools/lib" -Wl,-rpath,"$tools/lib" -lz -lm -o "$own/$out" >"$own/log" 2>&1
}
# Archer tells the sanitizer how OpenMP orders its threads. Code in libraries is not watched.
thread_train() { # executable, threads
    mkdir -p "$own/out$2"
    OMP_TOOL_LIBRARIES=$tools/lib/libarcher.so TSAN_OPTIONS="exitcode=66 ignore_noninstrumented_modules=1 history_size=4" \
        timeout 900 "$own/$1" train --epochs=1 --threads="$2" --out="$own/out$2" -q >"$own/log" 2>&1
}

# The sanitizer sees accesses of up to 16 bytes: vectors are taken apart first, and each function is marked.
"$gradus" build "$1" --cpu=x86-64-v3 -O1 --emit=llvm -o "$own/model.ll" >"$own/log" 2>&1 &&
    "$tools/bin/opt" -S -passes=scalarizer -scalarize-load-store "$own/model.ll" 2>>"$own/log" |
    sed 's/^attributes #[0-9]* = {/& sanitize_thread/' >"$own/marked.ll" &&
    "$tools/bin/clang" -w -O1 -fsanitize=thread -x ir -c "$own/marked.ll" -o "$own/model.o" >>"$own/log" 2>&1 &&
    nm "$own/model.o" | grep -q '__tsan_write4' && thread_link watched
verdict $? "thread: $1 builds" "$own/log"
for threads in 2 3 4; do
    thread_train watched $threads
    verdict $? "thread: $1 has no race with $threads threads" "$own/log"
done

# The other way: a barrier that orders nothing must be told of, or silence above says nothing.
sed -E 's/memory_order_acquire/memory_order_relaxed/; s/atomic_(fetch_add|fetch_sub)\(([^,]*), 1\)/atomic_\1_explicit(\2, 1, memory_order_relaxed)/;
    s/atomic_load\(([^)]*)\)/atomic_load_explicit(\1, memory_order_relaxed)/' runtime/barrier.c >"$own/barrier.c"
"$tools/bin/clang" -O1 -fsanitize=thread -iquote runtime -c "$own/barrier.c" -o "$own/barrier.o" >"$own/log" 2>&1 &&
    thread_link racing "$own/barrier.o" && ! thread_train racing 2 && grep -q 'WARNING: ThreadSanitizer: data race' "$own/log"
verdict $? "thread: $1 races where the barrier orders nothing" "$own/log"
