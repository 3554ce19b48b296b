/* SPDX-License-Identifier: MIT
 *
 * Stands for the NVIDIA driver where the library asks whether one is installed, beside the fake module (tests/gpu/command.py). */
extern const int hn_fake_driver;
const int hn_fake_driver = 1;
