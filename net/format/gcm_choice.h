/* gcm_choice: which kernels this build has. For net/format/gcm*.c only.
 *
 * Layer    format.   Blocks   never.   Memory   the stack.   Errors   none; call only what cpu_has() allows. */
#ifndef HOLDFAST_GCM_CHOICE_H
#define HOLDFAST_GCM_CHOICE_H

#include "net/format/gcm.h"

typedef void gcm_kernel(const struct gcm *g, uint8_t tag[GCM_TAG_BYTES]);
#if defined(__x86_64__)
#define GCM_HAS_X86 1
gcm_kernel gcm_crypt_x86;
#elif defined(__aarch64__) && (!defined(__clang__) || defined(__ARM_FEATURE_CRYPTO))
#define GCM_HAS_ARM 1 /* clang before 16 hides the intrinsics unless the whole file is compiled for them */
gcm_kernel gcm_crypt_arm;
#endif

#endif
