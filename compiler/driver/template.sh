#!/bin/sh
# SPDX-License-Identifier: MIT
# Writes C source that holds the given files byte by byte: template.sh OUT.c FILE...
# Needs od and sed. Used by CMake for the template of `gradus new`.
set -eu
out=$1
shift
{
    echo '#include <stddef.h>'
    n=0
    for file; do
        echo "static const unsigned char file_${n}[] = {"
        od -An -v -tu1 "$file" | sed 's/  */ /g; s/^ //; s/ *$//; s/ /, /g; s/$/,/'
        echo '};'
        n=$((n + 1))
    done
    echo 'typedef struct TemplateFile { const char *name; const unsigned char *bytes; size_t size; } TemplateFile;'
    echo 'extern const TemplateFile template_table[];'
    echo 'const TemplateFile template_table[] = {'
    n=0
    for file; do
        echo "    {\"$(basename "$file")\", file_$n, sizeof file_$n},"
        n=$((n + 1))
    done
    echo '    {NULL, NULL, 0}};'
} > "$out.part"
mv "$out.part" "$out"
