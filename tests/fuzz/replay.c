/* SPDX-License-Identifier: MIT
 *
 * A fuzz program without the fuzzer: runs every file of the folders it is given once. With it the seeds, and what fuzzing has
 * found, are tests like any other. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) abort();
    long n = ftell(f);
    rewind(f);
    uint8_t *p = malloc((size_t)n + !n); /* exactly as large, so that reading beyond is seen */
    if (!p || fread(p, 1, (size_t)n, f) != (size_t)n) abort();
    fclose(f);
    LLVMFuzzerTestOneInput(p, (size_t)n);
    free(p);
}

int main(int argc, char **argv)
{
    int n = 0;
    char path[4096];
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        for (struct dirent *e; d && (e = readdir(d));) {
            if (e->d_name[0] == '.') continue;
            (void)snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            printf("%s\n", path);
            fflush(stdout);
            replay(path);
            n++;
        }
        if (d) closedir(d);
    }
    printf("%d inputs\n", n);
    return n ? 0 : 1;
}
