#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/format/http1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct http1_limits limits = {.line_bytes_max = 100, .head_bytes_max = 400, .body_bytes_max = 1000};

/* A parsed request as text: "GET path?query host=H body=none|N|chunked keep|close", or the status it is refused with. */
static const char *told(enum http1_result r, const struct http1_head *h, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    if (r == HTTP1_NEED_MORE) {
        text_add(&t, "more");
        return out;
    }
    if (r == HTTP1_REFUSED) {
        assert_non_null(h->why);
        text_addf(&t, "%u", h->refused_status);
        return out;
    }
    if (h->status > 0)
        text_addf(&t, "%u", h->status);
    else
        text_addf(&t, "%s %.*s?%.*s host=%.*s", http1_method_name(h->method), (int)h->path.len, (const char *)h->path.at,
                  (int)h->query.len, (const char *)h->query.at, (int)h->host.len, (const char *)h->host.at);
    if (h->framing == HTTP1_LENGTH)
        text_addf(&t, " body=%llu", (unsigned long long)h->length);
    else
        text_addf(&t, " body=%s", h->framing == HTTP1_NO_BODY ? "none" : h->framing == HTTP1_CHUNKED ? "chunked" : "close");
    text_addf(&t, " 1.%u %s%s", h->minor, h->keep_alive ? "keep" : "end", h->expect_continue ? " expect" : "");
    return out;
}

struct head_case {
    const char *name, *head, *wanted;
    enum http1_method asked; /* responses */
    size_t len;              /* 0: strlen */
};

#define H            "Host: h\r\n"
#define REQ(fields)  "GET / HTTP/1.1\r\n" H fields "\r\n"
#define POST(fields) "POST / HTTP/1.1\r\n" H fields "\r\n"
#define LONG_20      "aaaaaaaaaaaaaaaaaaaa"
#define FIELDS_8     "a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n"

static const struct head_case requests[] = {
    {.name = "simple", .head = REQ(""), .wanted = "GET /? host=h body=none 1.1 keep"},
    {.name = "query", .head = "GET /a?b=c?d HTTP/1.1\r\n" H "\r\n", .wanted = "GET /a?b=c?d host=h body=none 1.1 keep"},
    {.name = "one empty line first", .head = "\r\n" REQ(""), .wanted = "GET /? host=h body=none 1.1 keep"},
    {.name = "two empty lines first", .head = "\r\n\r\n" REQ(""), .wanted = "400"},
    {.name = "1.0", .head = "GET / HTTP/1.0\r\n\r\n", .wanted = "GET /? host= body=none 1.0 end"},
    {.name = "1.0 keep-alive",
     .head = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
     .wanted = "GET /? host= body=none 1.0 keep"},
    {.name = "1.0 keep-alive, close",
     .head = "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
     .wanted = "GET /? host= body=none 1.0 end"},
    {.name = "close", .head = REQ("Connection: foo , CLOSE\r\n"), .wanted = "GET /? host=h body=none 1.1 end"},
    {.name = "later minor", .head = "GET / HTTP/1.9\r\n" H "\r\n", .wanted = "GET /? host=h body=none 1.1 keep"},
    {.name = "empty host", .head = "GET / HTTP/1.1\r\nHost:\r\n\r\n", .wanted = "GET /? host= body=none 1.1 keep"},
    {.name = "host and port",
     .head = "GET / HTTP/1.1\r\nHost: a.b:80\r\n\r\n",
     .wanted = "GET /? host=a.b:80 body=none 1.1 keep"},
    {.name = "host v6", .head = "GET / HTTP/1.1\r\nhost:[::1]:80\r\n\r\n", .wanted = "GET /? host=[::1]:80 body=none 1.1 keep"},
    {.name = "obs-text in a value", .head = REQ("X: \xff\r\n"), .wanted = "GET /? host=h body=none 1.1 keep"},
    {.name = "tab around a value", .head = REQ("Connection:\t close\t\r\n"), .wanted = "GET /? host=h body=none 1.1 end"},
    {.name = "absolute", .head = "GET http://x:1/p?q HTTP/1.1\r\n" H "\r\n", .wanted = "GET /p?q host=x:1 body=none 1.1 keep"},
    {.name = "absolute, no path", .head = "GET HTTP://x HTTP/1.1\r\n" H "\r\n", .wanted = "GET /? host=x body=none 1.1 keep"},
    {.name = "absolute, query only",
     .head = "GET https://x?q HTTP/1.1\r\n" H "\r\n",
     .wanted = "GET /?q host=x body=none 1.1 keep"},
    {.name = "asterisk", .head = "OPTIONS * HTTP/1.1\r\n" H "\r\n", .wanted = "OPTIONS *? host=h body=none 1.1 keep"},
    {.name = "connect", .head = "CONNECT a:443 HTTP/1.1\r\n" H "\r\n", .wanted = "CONNECT ? host=a:443 body=none 1.1 keep"},
    {.name = "length", .head = POST("Content-Length: 10\r\n"), .wanted = "POST /? host=h body=10 1.1 keep"},
    {.name = "length 0", .head = POST("Content-Length: 0\r\n"), .wanted = "POST /? host=h body=0 1.1 keep"},
    {.name = "leading zeroes", .head = POST("Content-Length: 0010\r\n"), .wanted = "POST /? host=h body=10 1.1 keep"},
    {.name = "chunked", .head = POST("Transfer-Encoding: Chunked\r\n"), .wanted = "POST /? host=h body=chunked 1.1 keep"},
    {.name = "expect",
     .head = POST("Content-Length: 1\r\nExpect: 100-Continue\r\n"),
     .wanted = "POST /? host=h body=1 1.1 keep expect"},
    {.name = "expect, no body", .head = POST("Expect: 100-continue\r\n"), .wanted = "POST /? host=h body=none 1.1 keep"},
    {.name = "expect, 1.0",
     .head = "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
     .wanted = "POST /? host= body=1 1.0 end"},
    {.name = "largest body", .head = POST("Content-Length: 1000\r\n"), .wanted = "POST /? host=h body=1000 1.1 keep"},
    {.name = "64 fields",
     .head = "GET / HTTP/1.1\r\n" H FIELDS_8 FIELDS_8 FIELDS_8 FIELDS_8 FIELDS_8 FIELDS_8 FIELDS_8
             "a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n\r\n",
     .wanted = "GET /? host=h body=none 1.1 keep"},

    {.name = "65 fields", .head = REQ(FIELDS_8 FIELDS_8 FIELDS_8 FIELDS_8 FIELDS_8 FIELDS_8 FIELDS_8 FIELDS_8), .wanted = "431"},
    {.name = "head too large",
     .head = REQ("a: " LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 "\r\nb: " LONG_20 LONG_20 LONG_20 LONG_20 LONG_20
                 "\r\nc: " LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 "\r\nd: " LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 "\r\n"),
     .wanted = "431"},
    {.name = "line too long", .head = "GET /" LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 " HTTP/1.1\r\n" H "\r\n", .wanted = "414"},
    {.name = "method too long", .head = LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20, .wanted = "501"},
    {.name = "endless rubbish", .head = LONG_20 "(" LONG_20 LONG_20 LONG_20 LONG_20 LONG_20, .wanted = "400"},
    {.name = "unknown method", .head = "FROB / HTTP/1.1\r\n" H "\r\n", .wanted = "501"},
    {.name = "lower-case method", .head = "get / HTTP/1.1\r\n" H "\r\n", .wanted = "501"},
    {.name = "method no token", .head = "GE(T / HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "0.9", .head = "GET /\r\n\r\n", .wanted = "400"},
    {.name = "2.0", .head = "GET / HTTP/2.0\r\n" H "\r\n", .wanted = "505"},
    {.name = "HTTP/2 preface", .head = "PRI * HTTP/2.0\r\n\r\n", .wanted = "501"},
    {.name = "lower-case http", .head = "GET / http/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "version with more", .head = "GET / HTTP/1.1x\r\n" H "\r\n", .wanted = "400"},
    {.name = "version 1.10", .head = "GET / HTTP/1.10\r\n" H "\r\n", .wanted = "400"},
    {.name = "two spaces", .head = "GET  / HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "space in target", .head = "GET /a b HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "space at the end", .head = "GET / HTTP/1.1 \r\n" H "\r\n", .wanted = "400"},
    {.name = "tab for space", .head = "GET\t/\tHTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "space first", .head = " GET / HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "fragment", .head = "GET /a#b HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "high byte in target", .head = "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "no slash", .head = "GET a HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "asterisk, GET", .head = "GET * HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "authority, GET", .head = "GET a:443 HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "connect, no port", .head = "CONNECT a HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "connect, path", .head = "CONNECT / HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "absolute, user", .head = "GET http://u@x/ HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "absolute, no host", .head = "GET http:///p HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "other scheme", .head = "GET ftp://x/ HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "no host", .head = "GET / HTTP/1.1\r\n\r\n", .wanted = "400"},
    {.name = "two hosts", .head = REQ("Host: h\r\n"), .wanted = "400"},
    {.name = "two hosts, 1.0", .head = "GET / HTTP/1.0\r\n" H H "\r\n", .wanted = "400"},
    {.name = "host list", .head = "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", .wanted = "400"},
    {.name = "host with path", .head = "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", .wanted = "400"},
    {.name = "host with user", .head = "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", .wanted = "400"},
    {.name = "host, bad port", .head = "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", .wanted = "400"},
    {.name = "host, open bracket", .head = "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", .wanted = "400"},
    {.name = "host, text behind bracket", .head = "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", .wanted = "400"},
    {.name = "bare LF", .head = "GET / HTTP/1.1\n" H "\n", .wanted = "400"},
    {.name = "bare LF in fields", .head = "GET / HTTP/1.1\r\n" H "a: b\nc: d\r\n\r\n", .wanted = "400"},
    {.name = "LF for the empty line", .head = "GET / HTTP/1.1\r\n" H "\n", .wanted = "400"},
    {.name = "bare CR", .head = REQ("a: b\rc: d\r\n"), .wanted = "400"},
    {.name = "CR CR LF", .head = REQ("a: b\r\r\n"), .wanted = "400"},
    {.name = "folded", .head = REQ("a: b\r\n c\r\n"), .wanted = "400"},
    {.name = "folded with a tab", .head = REQ("a: b\r\n\tc\r\n"), .wanted = "400"},
    {.name = "space before the first field", .head = "GET / HTTP/1.1\r\n Host: h\r\n\r\n", .wanted = "400"},
    {.name = "space before colon", .head = REQ("a : b\r\n"), .wanted = "400"},
    {.name = "tab before colon", .head = REQ("Content-Length\t: 5\r\n"), .wanted = "400"},
    {.name = "no colon", .head = REQ("abc\r\n"), .wanted = "400"},
    {.name = "no name", .head = REQ(": b\r\n"), .wanted = "400"},
    {.name = "high byte in a name", .head = REQ("\xe4: b\r\n"), .wanted = "400"},
    {.name = "NUL in a value", .head = "GET / HTTP/1.1\r\n" H "a: \0\r\n\r\n", .wanted = "400", .len = 32},
    {.name = "DEL in a value", .head = REQ("a: \x7f\r\n"), .wanted = "400"},
    {.name = "control in a value", .head = REQ("a: \x01\r\n"), .wanted = "400"},
    {.name = "both lengths", .head = POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), .wanted = "400"},
    {.name = "both lengths, other order", .head = POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), .wanted = "400"},
    {.name = "two lengths", .head = POST("Content-Length: 5\r\nContent-Length: 6\r\n"), .wanted = "400"},
    {.name = "two equal lengths", .head = POST("Content-Length: 5\r\ncontent-length: 5\r\n"), .wanted = "400"},
    {.name = "length list", .head = POST("Content-Length: 5, 5\r\n"), .wanted = "400"},
    {.name = "length +", .head = POST("Content-Length: +5\r\n"), .wanted = "400"},
    {.name = "length -", .head = POST("Content-Length: -5\r\n"), .wanted = "400"},
    {.name = "length 0x", .head = POST("Content-Length: 0x5\r\n"), .wanted = "400"},
    {.name = "length with a space", .head = POST("Content-Length: 5 5\r\n"), .wanted = "400"},
    {.name = "length, fraction", .head = POST("Content-Length: 5.0\r\n"), .wanted = "400"},
    {.name = "length, empty", .head = POST("Content-Length:\r\n"), .wanted = "400"},
    {.name = "length 2^64", .head = POST("Content-Length: 18446744073709551616\r\n"), .wanted = "400"},
    {.name = "length too large", .head = POST("Content-Length: 1001\r\n"), .wanted = "413"},
    {.name = "coding, 1.0", .head = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", .wanted = "400"},
    {.name = "chunked twice", .head = POST("Transfer-Encoding: chunked, chunked\r\n"), .wanted = "400"},
    {.name = "chunked in two fields",
     .head = POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
     .wanted = "400"},
    {.name = "identity beside chunked",
     .head = POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
     .wanted = "400"},
    {.name = "chunked not last", .head = POST("Transfer-Encoding: chunked, gzip\r\n"), .wanted = "400"},
    {.name = "gzip only", .head = POST("Transfer-Encoding: gzip\r\n"), .wanted = "400"},
    {.name = "gzip, chunked", .head = POST("Transfer-Encoding: gzip, chunked\r\n"), .wanted = "501"},
    {.name = "xchunked", .head = POST("Transfer-Encoding: xchunked\r\n"), .wanted = "400"},
    {.name = "chunked with vertical tab",
     .head = POST("Transfer-Encoding: \x0b"
                  "chunked\r\n"),
     .wanted = "400"},
    {.name = "chunked with a parameter", .head = POST("Transfer-Encoding: chunked;q=1\r\n"), .wanted = "400"},
    {.name = "chunked, empty element", .head = POST("Transfer-Encoding: , chunked\r\n"), .wanted = "400"},
    {.name = "coding, empty", .head = POST("Transfer-Encoding:\r\n"), .wanted = "400"},
    {.name = "unknown expectation", .head = POST("Expect: tea\r\n"), .wanted = "417"},
    {.name = "line of exactly 100 bytes",
     .head = "GET /" LONG_20 LONG_20 LONG_20 LONG_20 "aaaaaa HTTP/1.1\r\n" H "\r\n",
     .wanted = "GET /" LONG_20 LONG_20 LONG_20 LONG_20 "aaaaaa? host=h body=none 1.1 keep"},
    {.name = "line of 101 bytes",
     .head = "GET /" LONG_20 LONG_20 LONG_20 LONG_20 "aaaaaaa HTTP/1.1\r\n" H "\r\n",
     .wanted = "414"},
    {.name = "head of exactly 400 bytes",
     .head = REQ("a: " LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20
                     LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 "aaaaaaaa\r\n"),
     .wanted = "GET /? host=h body=none 1.1 keep"},
    {.name = "head of 401 bytes",
     .head = REQ("a: " LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 LONG_20
                     LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 "aaaaaaaaa\r\n"),
     .wanted = "431"},
    {.name = "all of a token", .head = REQ("09AZaz!#$%&'*+-.^_`|~: b\r\n"), .wanted = "GET /? host=h body=none 1.1 keep"},
    {.name = "all of a host name",
     .head = "GET / HTTP/1.1\r\nHost: 09AZaz-._~%:65535\r\n\r\n",
     .wanted = "GET /? host=09AZaz-._~%:65535 body=none 1.1 keep"},
    {.name = "port of 6 digits", .head = "GET / HTTP/1.1\r\nHost: a:655350\r\n\r\n", .wanted = "400"},
    {.name = "port with a colon", .head = "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", .wanted = "400"},
    {.name = "port with a slash", .head = "GET / HTTP/1.1\r\nHost: a:1/\r\n\r\n", .wanted = "400"},
    {.name = "scheme only", .head = "GET http:// HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "all of a target", .head = "GET /!~? HTTP/1.1\r\n" H "\r\n", .wanted = "GET /!~? host=h body=none 1.1 keep"},
    {.name = "tab in target", .head = "GET /\t HTTP/1.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "version 0.1", .head = "GET / HTTP/0.1\r\n" H "\r\n", .wanted = "505"},
    {.name = "version 9.1", .head = "GET / HTTP/9.1\r\n" H "\r\n", .wanted = "505"},
    {.name = "version :.1", .head = "GET / HTTP/:.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "version /.1", .head = "GET / HTTP//.1\r\n" H "\r\n", .wanted = "400"},
    {.name = "version 1.:", .head = "GET / HTTP/1.:\r\n" H "\r\n", .wanted = "400"},
    {.name = "version 1./", .head = "GET / HTTP/1./\r\n" H "\r\n", .wanted = "400"},
    {.name = "version 1,1", .head = "GET / HTTP/1,1\r\n" H "\r\n", .wanted = "400"},
    {.name = "version, cut", .head = "GET / HTTP/1.\r\n" H "\r\n", .wanted = "400"},
    {.name = "TLS hello", .head = "\x16\x03\x01\x02", .wanted = "400"},
};

static const struct head_case responses[] = {
    {.name = "length", .head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", .wanted = "200 body=5 1.1 keep"},
    {.name = "no reason", .head = "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", .wanted = "200 body=5 1.1 keep"},
    {.name = "no reason, no space", .head = "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", .wanted = "200 body=5 1.1 keep"},
    {.name = "reason with obs-text", .head = "HTTP/1.1 200 \xe4 b\r\nContent-Length: 5\r\n\r\n", .wanted = "200 body=5 1.1 keep"},
    {.name = "until close", .head = "HTTP/1.1 200 OK\r\n\r\n", .wanted = "200 body=close 1.1 end"},
    {.name = "chunked", .head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .wanted = "200 body=chunked 1.1 keep"},
    {.name = "1.0", .head = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", .wanted = "200 body=5 1.0 end"},
    {.name = "HEAD",
     .head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
     .asked = HTTP1_HEAD,
     .wanted = "200 body=none 1.1 keep"},
    {.name = "HEAD, huge",
     .head = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
     .asked = HTTP1_HEAD,
     .wanted = "200 body=none 1.1 keep"},
    {.name = "HEAD, chunked",
     .head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     .asked = HTTP1_HEAD,
     .wanted = "200 body=none 1.1 keep"},
    {.name = "204", .head = "HTTP/1.1 204 No Content\r\n\r\n", .wanted = "204 body=none 1.1 keep"},
    {.name = "304", .head = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", .wanted = "304 body=none 1.1 keep"},
    {.name = "100", .head = "HTTP/1.1 100 Continue\r\n\r\n", .wanted = "100 body=none 1.1 keep"},
    {.name = "101", .head = "HTTP/1.1 101 Switching Protocols\r\n\r\n", .wanted = "101 body=none 1.1 keep"},
    {.name = "CONNECT",
     .head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
     .asked = HTTP1_CONNECT,
     .wanted = "200 body=none 1.1 keep"},
    {.name = "CONNECT refused",
     .head = "HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\n",
     .asked = HTTP1_CONNECT,
     .wanted = "407 body=5 1.1 keep"},
    {.name = "close",
     .head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
     .wanted = "200 body=5 1.1 end"},
    {.name = "empty line first", .head = "\r\nHTTP/1.1 200 OK\r\n\r\n", .wanted = "400"},
    {.name = "too large", .head = "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", .wanted = "413"},
    {.name = "both lengths",
     .head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     .wanted = "400"},
    {.name = "chunked, 1.0", .head = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .wanted = "400"},
    {.name = "status 099", .head = "HTTP/1.1 099 No\r\n\r\n", .wanted = "400"},
    {.name = "status 600", .head = "HTTP/1.1 600 No\r\n\r\n", .wanted = "400"},
    {.name = "status of two digits", .head = "HTTP/1.1 20 No\r\n\r\n", .wanted = "400"},
    {.name = "status of four digits", .head = "HTTP/1.1 2000 No\r\n\r\n", .wanted = "400"},
    {.name = "no status", .head = "HTTP/1.1\r\n\r\n", .wanted = "400"},
    {.name = "HTTP/2", .head = "HTTP/2.0 200 OK\r\n\r\n", .wanted = "505"},
    {.name = "rubbish", .head = "SSH-2.0-OpenSSH\r\n\r\n", .wanted = "400"},
    {.name = "line too long", .head = "HTTP/1.1 200 " LONG_20 LONG_20 LONG_20 LONG_20 LONG_20 "\r\n", .wanted = "400"},
    {.name = "bare LF", .head = "HTTP/1.1 200 OK\n\n", .wanted = "400"},
};

static enum http1_result parse(const struct head_case *c, bool is_request, struct http1_head *h, struct bytes b)
{
    return is_request ? http1_parse_request(h, b, &limits) : http1_parse_response(h, b, &limits, c->asked);
}

/* At once; then one byte more at a time: the answer is the same, and never comes before its time. */
static void check_head(const struct head_case *c, bool is_request)
{
    struct http1_head whole = {0}, slow = {0};
    char out[600], out_slow[600];
    size_t len = c->len > 0 ? c->len : strlen(c->head);
    enum http1_result r = parse(c, is_request, &whole, (struct bytes){(const uint8_t *)c->head, len}), r_slow = HTTP1_NEED_MORE;
    if (strcmp(told(r, &whole, out, sizeof out), c->wanted) != 0)
        fail_msg("%s: %s (%s)", c->name, out, r == HTTP1_REFUSED ? whole.why : "");
    if (r == HTTP1_READY && whole.head_bytes != len)
        fail_msg("%s: head of %zu bytes, not %zu", c->name, whole.head_bytes, len);
    for (size_t n = 0; n <= len && r_slow == HTTP1_NEED_MORE; n++) {
        uint8_t *exact = malloc(n + 1); /* so that the sanitizer sees a read beyond it */
        assert_non_null(exact);
        memcpy(exact, c->head, n);
        r_slow = parse(c, is_request, &slow, (struct bytes){exact, n});
        if (r_slow != HTTP1_NEED_MORE && strcmp(told(r_slow, &slow, out_slow, sizeof out_slow), c->wanted) != 0)
            fail_msg("%s, by bytes: %s", c->name, out_slow);
        free(exact);
    }
    assert_int_equal(r_slow, r);
}

static void request_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(requests); i++)
        check_head(&requests[i], true);
}

static void response_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(responses); i++)
        check_head(&responses[i], false);
}

static void head_ends_where_the_body_begins(void **state)
{
    (void)state;
    struct http1_head h = {0};
    struct bytes value = {0};
    struct bytes b = bytes_of(POST("Content-Length: 3\r\nX-A: 1\r\nx-a: 2\r\n") "abcGET / HTTP/1.1\r\n");
    assert_int_equal(http1_parse_request(&h, b, &limits), HTTP1_READY);
    assert_true(memcmp(b.at + h.head_bytes, "abcGET", 6) == 0);
    assert_true(http1_find(&h, "x-A", &value) && bytes_equal_text(value, "1"));
    assert_true(http1_find(&h, "x-a", NULL));
    assert_false(http1_find(&h, "x-b", &value));
    assert_true(http1_list_has(&h, "X-A", "2"));
    assert_false(http1_list_has(&h, "X-A", "12"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_heads),
        cmocka_unit_test(response_heads),
        cmocka_unit_test(head_ends_where_the_body_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
