/* xml_inside: what xml_*.c share.   Layer   format, private.   Blocks   never.   Owner, memory   the caller's.   Errors   none.
 */
#ifndef HOLDFAST_XML_INSIDE_H
#define HOLDFAST_XML_INSIDE_H

#include "board/rt/base.h"

static inline bool xml_is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* XML 1.0, 2.3; every byte beyond ASCII is taken for part of a name. */
static inline bool xml_is_name_start(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == ':' || c >= 0x80;
}

static inline bool xml_is_name(uint8_t c)
{
    return xml_is_name_start(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

/* What stands between '&' and ';', as UTF-8: its length; 0: it is not XML's own, or no character. */
size_t xml_entity(const char *name, uint8_t out[4]);

#endif
