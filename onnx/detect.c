/* SPDX-License-Identifier: MIT
 *
 * What a file is that people pass as a model by mistake, by its first bytes. Only the first 512 bytes are looked at, and
 * nothing here decides whether a model is read: it only words the refusal. */
#include "onnx/scan.h"
#include <string.h>
#include <strings.h>

static const struct {
    const char *magic;
    size_t n;
    const char *what;
} known[] = {
    { "\x1f\x8b", 2, "gzip data (name it .onnx.gz or unpack it)" },
    { "version https://git-lfs", 23,
      "a git-LFS pointer: the model itself was not downloaded (git lfs pull)" },
    { "PK\x03\x04", 4, "a zip archive (PyTorch .pt and NumPy .npz files are), not an ONNX model" },
    { "\x89HDF\r\n", 6, "an HDF5 file (Keras .h5), not an ONNX model" },
    { "\x93NUMPY", 6, "a NumPy array, not an ONNX model" },
    { "\x80\x02", 2, "a Python pickle (an old PyTorch file), not an ONNX model" },
};

static int starts(const unsigned char *p, size_t n, const char *word)
{
    size_t k = strlen(word);
    return n >= k && strncasecmp((const char *)p, word, k) == 0;
}

static const char *detect_text(const unsigned char *p, size_t n)
{
    while (n && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) p++, n--;
    if (starts(p, n, "<!doctype html") || starts(p, n, "<html"))
        return "an HTML page (a failed download?), not an ONNX model";
    if (starts(p, n, "<?xml")) return "XML text, not an ONNX model";
    if (starts(p, n, "{")) return "JSON text, not an ONNX model";
    if (starts(p, n, "ir_version:") || starts(p, n, "graph {") || starts(p, n, "opset_import {"))
        return "an ONNX model in text form; Hone reads the binary form";
    return "text, not an ONNX model";
}

const char *hn_detect(const unsigned char *p, size_t n)
{
    if (n == 0) return "an empty file";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (n >= known[i].n && memcmp(p, known[i].magic, known[i].n) == 0) return known[i].what;
    if (n >= 8 && memcmp(p + 4, "ORTM", 4) == 0)
        return "a model in ONNX Runtime's own format (.ort), not an ONNX model: convert from the "
               ".onnx it was made of";
    if (n >= 12 && memcmp(p + 4, "TFL3", 4) == 0)
        return "a TensorFlow Lite model, not an ONNX model";
    size_t k = n < 512 ? n : 512, odd = 0;
    for (size_t i = 0; i < k; i++)
        if (p[i] == 0x7f || (p[i] < 0x20 && p[i] != '\t' && p[i] != '\n' && p[i] != '\r')) odd++;
    return odd == 0 && k >= 4 ? detect_text(p, k) : NULL;
}
