#include "board/rt/mem.h"
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define V        "version: 1\n"
#define TEN(x)   x x x x x x x x x x
#define K10      TEN("k")
#define K100     TEN(K10)
#define X50      TEN("xxxxx")
#define X511     TEN(X50) "xxxxxxxxxxx"
#define LISTS_40 TEN("[[[[") TEN("]]]]")
#define MAPS_40  TEN("{a: {a: {a: {a: ") TEN("}}}}")
#define NO_ZONE(name)                                                                                                            \
    "backup.timezone: \"" name "\" is no time zone; write UTC, a name like Europe/Berlin, or a POSIX string like "               \
    "CET-1CEST,M3.5.0,M10.5.0/3\n"
#define NO_URL "is not a URL without user and password; write it like https://hooks.lan/path\n"
#define FOLDERS(one, other)                                                                                                      \
    V "backup:\n  destinations:\n    - {name: a, type: directory, path: " one "}\n    - {name: b, type: directory, path: " other \
      "}\n"
#define ONE_FOLDER "h.yaml:5:40: backup.destinations[1].path: is the folder of destination \"a\" too; give each its own\n"
#define KEEP(yaml) V "backup:\n  destinations:\n    - {name: local, type: directory, path: /b, retention: " yaml "}\n"
#define KEEPS_NONE                                                                                                               \
    "backup.destinations[0].retention: keeps no backup at all; write at least one rule, like daily: 7, or remove the key for "   \
    "the default\n"
#define LONG_16  "0123456789abcdef"
#define LONG_64  LONG_16 LONG_16 LONG_16 LONG_16
#define LONG_256 LONG_64 LONG_64 LONG_64 LONG_64
#define UNKNOWN(line, key)                                                                                                       \
    "h.yaml:" line ":1: " key ": unknown key; known here: version, data, listen, log, backup, kubernetes, ingest, notify\n"

/* Every wrong file and exactly what is said about it. */
static const struct {
    const char *name, *yaml, *errors;
} bad[] = {
    {"text tilde", V "data: ~\n", "h.yaml:2:7: data: has no value; write one or remove the key\n"},
    {"empty file", "", "h.yaml:1:1: the file is empty; start it with \"version: 1\"\n"},
    {"only comments", "# nothing\n\n# here\n", "h.yaml:1:1: the file is empty; start it with \"version: 1\"\n"},
    {"only spaces", "   \n\n", "h.yaml:1:1: the file is empty; start it with \"version: 1\"\n"},
    {"null document", "~\n", "h.yaml:1:1: the file is empty; start it with \"version: 1\"\n"},
    {"a text", "hello\n", "h.yaml:1:1: the file is not a map of keys; start it with \"version: 1\"\n"},
    {"a list", "- a\n- b\n", "h.yaml:1:1: the file is not a map of keys; start it with \"version: 1\"\n"},
    {"two documents", V "---\nversion: 1\n", "h.yaml:2:1: a second document; keep one\n"},
    {"left over after a flow map", "{version: 1}\nrest: 1\n",
     "h.yaml:2:1: this does not belong to what is above it; line it up or remove it\n"},
    {"not UTF-8", V "data: /a\377\n", "h.yaml:2:9: the file is not UTF-8; save it as UTF-8\n"},
    {"overlong UTF-8", V "# ok\ndata: /a\300\257\n", "h.yaml:3:9: the file is not UTF-8; save it as UTF-8\n"},
    {"control character", V "data: /a\001b\n", "h.yaml:2:9: a control character; remove it\n"},
    {"tab as indentation", V "log:\n\tlevel: info\n", "h.yaml:3:1: a tab is used to indent; use spaces\n"},
    {"tab before a list item", V "backup:\n  destinations:\n\t- {name: a}\n",
     "h.yaml:4:1: a tab is used to indent; use spaces\n"},
    {"bracket not closed", V "backup:\n  etcd:\n    endpoints: [http://e:2379\n",
     "h.yaml:5:1: the list in brackets is not closed; put commas between its items and ] at its end\n"},
    {"brace not closed", V "backup: {etcd: {endpoints: []}\n",
     "h.yaml:3:1: the map in braces is not closed; put commas between its keys and } at its end\n"},
    {"quote not closed", V "data: \"/var\n", "h.yaml:3:1: the file ends inside a quoted text; close the quote\n"},
    {"single quote not closed", V "data: '/var\n", "h.yaml:3:1: the file ends inside a quoted text; close the quote\n"},
    {"unknown escape", V "data: \"C:\\data\"\n", "h.yaml:2:10: no such escape; double the backslash or use single quotes\n"},
    {"two colons", V "data: /a: b\n", "h.yaml:2:9: a colon where no key can be; indent the line, or put the value in quotes\n"},
    {"key without colon", V "data\nlisten: :1\n", "h.yaml:3:1: a key without its colon; write key: value\n"},
    {"starts with a percent", V "data: %x\n", "h.yaml:2:7: no value can start with this character; put the value in quotes\n"},
    {"starts with an at", V "data: @x\n", "h.yaml:2:7: no value can start with this character; put the value in quotes\n"},
    {"keys not lined up", V " data: /a\n",
     "h.yaml:1:10: version: \"1 data\" is not a whole number; write digits\nh.yaml:2:6: a colon where no key can be; indent the "
     "line, or put the value in quotes\n"},
    {"dedented wrongly", V "log:\n    level: info\n  format: json\n",
     "h.yaml:4:3: the line is not indented like its neighbours; line the keys up\n"},
    {"item not lined up", V "backup:\n  destinations:\n    - name: a\n   - name: b\n",
     "h.yaml:4:7: backup.destinations[0].type: required and missing; add \"type:\"\nh.yaml:5:4: the line is not indented like "
     "its neighbours; line the keys up\n"},
#define P51        "abcdefghijklmnopqrstuvwxyabcdefghijklmnopqrstuvwxyz"
#define ITEM(yaml) V "backup:\n  destinations:\n  - {name: a, " yaml "}\n"
    {"a folder without its path", ITEM("type: directory"),
     "h.yaml:4:5: backup.destinations[0].path: required and missing; add \"path:\"\n"},
    {"a bucket's keys for a folder", ITEM("bucket: abc, type: directory, path: /b"),
     "h.yaml:4:23: backup.destinations[0].bucket: this type does not have it; remove it, or change the type\n"},
    {"S3 without what it needs", ITEM("type: s3"),
     "h.yaml:4:5: backup.destinations[0].endpoint: required and missing; add \"endpoint:\"\nh.yaml:4:5: "
     "backup.destinations[0].bucket: required and missing; add \"bucket:\"\n"},
    {"S3 with a folder", ITEM("type: s3, endpoint: http://s, bucket: abc, path: /b"),
     "h.yaml:4:64: backup.destinations[0].path: this type does not have it; remove it, or change the type\n"},
    {"one key file", ITEM("type: s3, endpoint: http://s, bucket: abc, access_key_file: /k"),
     "h.yaml:4:75: backup.destinations[0].access_key_file: the two keys go together; add secret_key_file\n"},
    {"a prefix that begins with a slash", ITEM("type: s3, endpoint: http://s, bucket: abc, prefix: /x"),
     "h.yaml:4:66: backup.destinations[0].prefix: \"/x\" is not a prefix of keys; write it like clusters/home/\n"},
    {"a prefix without room for its slash", ITEM("type: s3, endpoint: http://s, bucket: abc, prefix: " P51 P51 P51 P51 P51),
     "h.yaml:4:66: backup.destinations[0].prefix: has no room for the slash at its end; write 254 characters at most\n"},
    {"a secret for a recipient",
     ITEM("type: directory, path: /b, encrypt: {recipients: [AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ]}"),
     "h.yaml:4:65: backup.destinations[0].encrypt.recipients[0]: is a secret key; write the recipient that age-keygen -y tells "
     "of it, and treat that key as known\n"},
    {"no recipient", ITEM("type: directory, path: /b, encrypt: {recipients: [age1x]}"),
     "h.yaml:4:65: backup.destinations[0].encrypt.recipients[0]: is not an age recipient; write it like age1…, as age-keygen "
     "prints it\n"},
    {"a mistyped recipient",
     ITEM("type: directory, path: /b, encrypt: {recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q]}"),
     "h.yaml:4:65: backup.destinations[0].encrypt.recipients[0]: is mistyped or cut: its checksum is wrong; copy it again, "
     "whole\n"},
    {"defragmenting without a guardian", V "backup: {etcd: {defrag: true}}\n",
     "h.yaml:2:25: backup.etcd.defrag: nobody would do it; add guardian: true, or remove it\n"},
    {"an end to NOSPACE without a guardian", V "backup: {etcd: {nospace: true}}\n",
     "h.yaml:2:26: backup.etcd.nospace: nobody would do it; add guardian: true, or remove it\n"},
    {"a guardian of nothing", V "backup: {etcd: {guardian: true}}\n",
     "h.yaml:2:27: backup.etcd.guardian: there is no etcd to guard; add backup.etcd.endpoints\n"},
    {"a rehearsal that never comes", V "backup: {rehearse: {schedule: 0 0 30 2 *}}\n",
     "h.yaml:2:31: backup.rehearse.schedule: names a day that never comes, like February 30; write another\n"},
    {"an export without its slash", ITEM("type: nfs, path: /m, server: n, export: x"),
     "h.yaml:4:55: backup.destinations[0].export: \"x\" is not a whole path; begin it with a slash\n"},
    {"alias", V "data: &a /x\nlisten: *a\n", "h.yaml:3:9: aliases are not supported; write the value out\n"},
    {"alias bomb", "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b]\n",
     "h.yaml:1:1: a: unknown key; known here: version, data, listen, log, backup, kubernetes, ingest, notify\nh.yaml:2:1: b: "
     "unknown key; known "
     "here: "
     "version, data, listen, log, backup, kubernetes, ingest, notify\nh.yaml:2:8: aliases are not supported; write the value "
     "out\n"},
    {"merge key", V "log: &l {level: info}\nbackup:\n  <<: *l\n",
     "h.yaml:4:3: backup.<<: unknown key; known here: etcd, source, talos, schedule, every, timezone, max_age, idle_timeout, "
     "total_timeout, min_rate, stage, verify, rehearse, destinations\nh.yaml:4:7: aliases are not supported; write the value "
     "out\n"},
    {"tag", V "data: !!binary aGk=\n", "h.yaml:2:7: tags are not supported; remove the !\n"},
    {"own tag", "!config\nversion: 1\n", "h.yaml:1:1: tags are not supported; remove the !\n"},
    {"deep list", V "data: " LISTS_40 "\n",
     "h.yaml:2:7: data: is a list, not a path; write a path\nh.yaml:2:38: nested too deep; nothing here needs that\n"},
    {"deep map", V "data: " MAPS_40 "\n",
     "h.yaml:2:7: data: is a map of keys, not a path; write a path\nh.yaml:2:131: nested too deep; nothing here needs that\n"},
    {"version missing", "data: /a\n", "h.yaml:1:1: version: required and missing; add \"version: 1\"\n"},
    {"version 2", "version: 2\n", "h.yaml:1:10: version: \"2\" is more than 1; write 1\n"},
    {"version 0", "version: 0\n", "h.yaml:1:10: version: \"0\" is less than 1; write 1\n"},
    {"version in quotes", "version: \"1\"\n", "h.yaml:1:10: version: \"1\" is not a whole number; write digits\n"},
    {"version a word", "version: one\n", "h.yaml:1:10: version: \"one\" is not a whole number; write digits\n"},
    {"version with a point", "version: 1.0\n", "h.yaml:1:10: version: \"1.0\" is not a whole number; write digits\n"},
    {"version octal", "version: 01\n", "h.yaml:1:10: version: \"01\" is not a whole number; write digits\n"},
    {"version hex", "version: 0x1\n", "h.yaml:1:10: version: \"0x1\" is not a whole number; write digits\n"},
    {"version too long", "version: 99999999999999999999\n",
     "h.yaml:1:10: version: \"99999999999999999999\" is more than 1; write 1\n"},
    {"version empty", "version:\n", "h.yaml:1:9: version: has no value; write one or remove the key\n"},
    {"version a list", "version: [1]\n", "h.yaml:1:10: version: is a list, not a whole number; write digits\n"},
    {"key twice", V "data: /a\nlisten: :1\ndata: /b\n", "h.yaml:4:1: data: given twice, first on line 2; keep one\n"},
    {"section twice", V "log: {level: info}\nlog: {format: json}\n", "h.yaml:3:1: log: given twice, first on line 2; keep one\n"},
    {"nested key twice", V "log:\n  level: info\n  level: warn\n",
     "h.yaml:4:3: log.level: given twice, first on line 3; keep one\n"},
    {"unknown key", V "colour: red\n",
     "h.yaml:2:1: colour: unknown key; known here: version, data, listen, log, backup, kubernetes, ingest, notify\n"},
    {"misspelt key", V "lisen: :9464\n", "h.yaml:2:1: lisen: unknown key; did you mean \"listen\"?\n"},
    {"swapped letters", V "lgo: {}\n", "h.yaml:2:1: lgo: unknown key; did you mean \"log\"?\n"},
    {"upper case key", V "Data: /a\n", "h.yaml:2:1: Data: unknown key; did you mean \"data\"?\n"},
    {"misspelt nested key", V "backup:\n  etcd: {endpoint: [http://e:2379]}\n",
     "h.yaml:3:10: backup.etcd.endpoint: unknown key; did you mean \"endpoints\"?\n"},
    {"unknown nested key", V "log: {colour: true}\n", "h.yaml:2:7: log.colour: unknown key; known here: level, format\n"},
    {"key of another section", V "every: 6h\n", "h.yaml:2:1: every: unknown key; did you mean \"backup.every\"?\n"},
    {"key with a dot", V "log.level: info\n",
     "h.yaml:2:1: log.level: unknown key; known here: version, data, listen, log, backup, kubernetes, ingest, notify\n"},
    {"empty key", V "\"\": 1\n",
     "h.yaml:2:1: unknown key; known here: version, data, listen, log, backup, kubernetes, ingest, notify\n"},
    {"long key", V K100 ": 1\n",
     "h.yaml:2:1: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk...: unknown key; known here: version, data, listen, log, backup, kubernetes, "
     "ingest, notify\n"},
    {"key with an escape sequence", V "\"\\e[31m\": 1\n",
     "h.yaml:2:1: ??31m: unknown key; known here: version, data, listen, log, backup, kubernetes, ingest, notify\n"},
    {"unknown key with a tree below", V "extra: {a: [1, {b: 2}], c: 3}\nlisten: 99\n",
     "h.yaml:2:1: extra: unknown key; known here: version, data, listen, log, backup, kubernetes, ingest, notify\nh.yaml:3:9: "
     "listen: \"99\" is not "
     "an "
     "address; write it like 127.0.0.1:9464, [::1]:9464, :9464 or unix:/path\n"},
    {"key is a list", V "? [a, b]\n: c\n", "h.yaml:2:3: a key must be a text; put it in quotes\n"},
    {"key is a map", V "{a: b}: c\n", "h.yaml:2:1: a key must be a text; put it in quotes\n"},
    {"section is a text", V "backup: yes\n",
     "h.yaml:2:9: backup: is one value, not a map of keys; put its keys below it, indented\n"},
    {"section is a list", V "log: [info]\n", "h.yaml:2:6: log: is a list, not a map of keys; put its keys below it, indented\n"},
    {"text is a map", V "data: {a: b}\n", "h.yaml:2:7: data: is a map of keys, not a path; write a path\n"},
    {"text is a list", V "data: [/a]\n", "h.yaml:2:7: data: is a list, not a path; write a path\n"},
    {"text empty", V "data: \"\"\n", "h.yaml:2:7: data: is empty; write it or remove the key\n"},
    {"text null", V "data:\n", "h.yaml:2:6: data: has no value; write one or remove the key\n"},
    {"text with a newline", V "data: \"/a\\nb\"\n", "h.yaml:2:7: data: has a control character or is not UTF-8; remove that\n"},
    {"text with a zero", V "data: \"/a\\0b\"\n", "h.yaml:2:7: data: has a control character or is not UTF-8; remove that\n"},
    {"path from here", V "data: ./hub\n", "h.yaml:2:7: data: \"./hub\" is not a whole path; begin it with a slash\n"},
    {"path from home", V "backup: {etcd: {ca: ~/ca.pem}}\n",
     "h.yaml:2:21: backup.etcd.ca: \"~/ca.pem\" is not a whole path; begin it with a slash\n"},
    {"folder from here", ITEM("type: directory, path: backups"),
     "h.yaml:4:38: backup.destinations[0].path: \"backups\" is not a whole path; begin it with a slash\n"},
    {"text too long", V "data: /" X511 "\n", "h.yaml:2:7: data: is longer than 511 bytes; shorten it\n"},
    {"address without port", V "listen: 127.0.0.1\n",
     "h.yaml:2:9: listen: \"127.0.0.1\" is not an address; write it like 127.0.0.1:9464, [::1]:9464, :9464 or unix:/path\n"},
    {"address with a name", V "listen: localhost:9464\n",
     "h.yaml:2:9: listen: \"localhost:9464\" is not an address; write it like 127.0.0.1:9464, [::1]:9464, :9464 or unix:/path\n"},
    {"address port too large", V "listen: 127.0.0.1:99464\n",
     "h.yaml:2:9: listen: \"127.0.0.1:99464\" is not an address; write it like 127.0.0.1:9464, [::1]:9464, :9464 or "
     "unix:/path\n"},
    {"address only a port", V "listen: 9464\n",
     "h.yaml:2:9: listen: \"9464\" is not an address; write it like 127.0.0.1:9464, [::1]:9464, :9464 or unix:/path\n"},
    {"address null", V "listen: ~\n", "h.yaml:2:9: listen: has no value; write one or remove the key\n"},
    {"level unknown", V "log: {level: loud}\n",
     "h.yaml:2:14: log.level: \"loud\" is not one of debug, info, warn, error; choose one\n"},
    {"level misspelt", V "log: {level: wran}\n",
     "h.yaml:2:14: log.level: \"wran\" is not one of debug, info, warn, error; did you mean \"warn\"?\n"},
    {"level upper case", V "log: {level: INFO}\n",
     "h.yaml:2:14: log.level: \"INFO\" is not one of debug, info, warn, error; did you mean \"info\"?\n"},
    {"format unknown", V "log: {format: xml}\n", "h.yaml:2:15: log.format: \"xml\" is not one of logfmt, json; choose one\n"},
    {"duration without unit", V "backup: {every: 30}\n",
     "h.yaml:2:17: backup.every: \"30\" has no unit; write it like 500ms, 30s, 5m, 1h30m or 2d\n"},
    {"duration a word", V "backup: {every: daily}\n",
     "h.yaml:2:17: backup.every: \"daily\" is not a duration; write it like 500ms, 30s, 5m, 1h30m or 2d\n"},
    {"duration with a space", V "backup: {every: 6 h}\n",
     "h.yaml:2:17: backup.every: \"6 h\" is not a duration; write it like 500ms, 30s, 5m, 1h30m or 2d\n"},
    {"duration units in the wrong order", V "backup: {every: 30m1h}\n",
     "h.yaml:2:17: backup.every: \"30m1h\" is not a duration; write it like 500ms, 30s, 5m, 1h30m or 2d\n"},
    {"duration unit twice", V "backup: {every: 1h1h}\n",
     "h.yaml:2:17: backup.every: \"1h1h\" is not a duration; write it like 500ms, 30s, 5m, 1h30m or 2d\n"},
    {"duration with a point", V "backup: {every: 1.5h}\n",
     "h.yaml:2:17: backup.every: \"1.5h\" is not a duration; write it like 500ms, 30s, 5m, 1h30m or 2d\n"},
    {"duration negative", V "backup: {every: -6h}\n",
     "h.yaml:2:17: backup.every: \"-6h\" is not a duration; write it like 500ms, 30s, 5m, 1h30m or 2d\n"},
    {"duration with a wrong unit", V "backup: {every: 6w}\n",
     "h.yaml:2:17: backup.every: \"6w\" is not a duration; write it like 500ms, 30s, 5m, 1h30m or 2d\n"},
    {"duration too short", V "backup: {every: 9999ms}\n",
     "h.yaml:2:17: backup.every: \"9999ms\" is less than 10s; write 10s or more\n"},
    {"duration too long", V "backup: {every: 400d}\n",
     "h.yaml:2:17: backup.every: \"400d\" is more than 366d; write 366d or less\n"},
    {"duration beyond 64 bits", V "backup: {every: 99999999999999999999d}\n",
     "h.yaml:2:17: backup.every: \"99999999999999999999d\" is more than 366d; write 366d or less\n"},
    {"idle too short", V "backup: {idle_timeout: 0s}\n",
     "h.yaml:2:24: backup.idle_timeout: \"0s\" is less than 1s; write 1s or more\n"},
    {"total too long", V "backup: {total_timeout: 25h}\n",
     "h.yaml:2:25: backup.total_timeout: \"25h\" is more than 1d; write 1d or less\n"},
    {"endpoints one text", V "backup: {etcd: {endpoints: http://e:2379}}\n",
     "h.yaml:2:28: backup.etcd.endpoints: is one value, not a list; write it like [a, b]\n"},
    {"endpoints null", V "backup: {etcd: {endpoints: }}\n",
     "h.yaml:2:28: backup.etcd.endpoints: has no value; write one or remove the key\n"},
    {"endpoint a map", V "backup: {etcd: {endpoints: [{url: x}]}}\n",
     "h.yaml:2:29: backup.etcd.endpoints[0]: is not a text; write a text\n"},
    {"endpoint null", V "backup: {etcd: {endpoints: [~]}}\n",
     "h.yaml:2:29: backup.etcd.endpoints[0]: is empty; write it or remove the item\n"},
    {"endpoint without scheme", V "backup: {etcd: {endpoints: [\"10.0.0.2:2379\"]}}\n",
     "h.yaml:2:29: backup.etcd.endpoints[0]: \"10.0.0.2:2379\" is not an endpoint; write it like https://10.0.0.2:2379\n"},
    {"endpoint of another scheme", V "backup: {etcd: {endpoints: [ftp://e]}}\n",
     "h.yaml:2:29: backup.etcd.endpoints[0]: \"ftp://e\" is not an endpoint; write it like https://10.0.0.2:2379\n"},
    {"endpoint without host", V "backup: {etcd: {endpoints: [\"http://\", \"http://:2379\"]}}\n",
     "h.yaml:2:29: backup.etcd.endpoints[0]: \"http://\" is not an endpoint; write it like https://10.0.0.2:2379\nh.yaml:2:40: "
     "backup.etcd.endpoints[1]: \"http://:2379\" is not an endpoint; write it like https://10.0.0.2:2379\n"},
    {"endpoint with a path", V "backup: {etcd: {endpoints: [http://e:2379/v3]}}\n",
     "h.yaml:2:29: backup.etcd.endpoints[0]: \"http://e:2379/v3\" is not an endpoint; write it like https://10.0.0.2:2379\n"},
    {"endpoint with a user", V "backup: {etcd: {endpoints: [http://u:p@e]}}\n",
     "h.yaml:2:29: backup.etcd.endpoints[0]: is not an endpoint; write it like https://10.0.0.2:2379\n"},
    {"endpoint port 0", V "backup: {etcd: {endpoints: [http://e:0]}}\n",
     "h.yaml:2:29: backup.etcd.endpoints[0]: \"http://e:0\" is not an endpoint; write it like https://10.0.0.2:2379\n"},
    {"endpoint port too large", V "backup: {etcd: {endpoints: [http://e:65536]}}\n",
     "h.yaml:2:29: backup.etcd.endpoints[0]: \"http://e:65536\" is not an endpoint; write it like https://10.0.0.2:2379\n"},
    {"endpoint IPv6 not closed", V "backup: {etcd: {endpoints: [\"http://[::1\"]}}\n",
     "h.yaml:2:29: backup.etcd.endpoints[0]: \"http://[::1\" is not an endpoint; write it like https://10.0.0.2:2379\n"},
    {"too many endpoints",
     V "backup: {etcd: {endpoints: [http://e0, http://e1, http://e2, http://e3, http://e4, http://e5, http://e6, http://e7, "
       "http://e8, http://e9]}}\n",
     "h.yaml:2:117: backup.etcd.endpoints: has more than 8 items; remove some\n"},
    {"destination a text", V "backup:\n  destinations: [/b]\n",
     "h.yaml:3:18: backup.destinations[0]: is not a map of keys; write its keys after the -\n"},
    {"destinations a map", V "backup:\n  destinations: {name: a}\n",
     "h.yaml:3:17: backup.destinations: is a map of keys, not a list of maps; start each with -\n"},
    {"destination empty", V "backup:\n  destinations:\n    - {}\n",
     "h.yaml:4:7: backup.destinations[0].name: required and missing; add \"name:\"\nh.yaml:4:7: backup.destinations[0].type: "
     "required and missing; add \"type:\"\n"},
    {"destination without path", V "backup:\n  destinations:\n    - name: a\n      type: directory\n",
     "h.yaml:4:7: backup.destinations[0].path: required and missing; add \"path:\"\n"},
    {"second destination without name",
     V "backup:\n  destinations:\n    - {name: local, type: directory, path: /b}\n    - {type: directory, path: /c}\n",
     "h.yaml:5:7: backup.destinations[1].name: required and missing; add \"name:\"\n"},
    {"destination type unknown", V "backup:\n  destinations:\n    - {name: a, type: ftp, path: /b}\n",
     "h.yaml:4:23: backup.destinations[0].type: \"ftp\" is not one of directory, s3, nfs; choose one\n"},
    {"destination type misspelt", V "backup:\n  destinations:\n    - {name: a, type: dirctory, path: /b}\n",
     "h.yaml:4:23: backup.destinations[0].type: \"dirctory\" is not one of directory, s3, nfs; did you mean \"directory\"?\n"},
    {"destination key misspelt",
     V "backup:\n  destinations:\n    - {name: local, type: directory, path: /b}\n    - {name: b, type: directory, pth: /b}\n",
     "h.yaml:5:34: backup.destinations[1].pth: unknown key; did you mean \"path\"?\nh.yaml:5:7: backup.destinations[1].path: "
     "required and missing; add \"path:\"\n"},
    {"destination name upper case", V "backup:\n  destinations:\n    - {name: NAS, type: directory, path: /b}\n",
     "h.yaml:4:14: backup.destinations[0].name: \"NAS\" is not a name; use a-z, 0-9 and -, at most 32 of them\n"},
    {"destination name too long",
     V "backup:\n  destinations:\n    - {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, type: directory, path: /b}\n",
     "h.yaml:4:14: backup.destinations[0].name: is longer than 32 bytes; shorten it\n"},
    {"destination name taken",
     V
     "backup:\n  destinations:\n    - {name: local, type: directory, path: /b}\n    - {name: local, type: directory, path: /c}\n",
     "h.yaml:5:14: backup.destinations[1].name: is that of an earlier item too; give each its own\n"},
    {"destination key twice", V "backup:\n  destinations:\n    - {name: a, name: b, type: directory, path: /c}\n",
     "h.yaml:4:17: backup.destinations[0].name: given twice, first on line 4; keep one\n"},
    {"too many destinations",
     V
     "backup:\n  destinations:\n    - {name: n0, type: directory, path: /b0}\n    - {name: n1, type: directory, path: /b1}\n    "
     "- {name: n2, type: directory, path: /b2}\n    - {name: n3, type: directory, path: /b3}\n    - {name: n4, type: directory, "
     "path: /b4}\n    - {name: n5, type: directory, path: /b5}\n",
     "h.yaml:8:7: backup.destinations: has more than 4 items; remove some\n"},
    {"endpoints without destinations", V "backup:\n  etcd:\n    endpoints: [http://e:2379]\n",
     "h.yaml:4:16: backup.etcd.endpoints: there is nowhere to keep backups; add one under backup.destinations\n"},
    {"https without ca",
     V "backup:\n  etcd: {endpoints: [https://e:2379]}\n  destinations:\n    - {name: local, type: directory, path: /b}\n",
     "h.yaml:3:21: backup.etcd.endpoints: https needs the CA of the members; add backup.etcd.ca\n"},
    {"cert without key",
     V
     "backup:\n  etcd: {endpoints: [http://e:2379], cert: /c}\n  destinations:\n    - {name: local, type: directory, path: /b}\n",
     "h.yaml:3:44: backup.etcd.cert: a certificate needs its key; add backup.etcd.key\n"},
    {"key without cert",
     V
     "backup:\n  etcd: {endpoints: [http://e:2379], key: /k}\n  destinations:\n    - {name: local, type: directory, path: /b}\n",
     "h.yaml:3:43: backup.etcd.key: a key needs its certificate; add backup.etcd.cert\n"},
    {"all rules at once", V "backup:\n  etcd: {endpoints: [https://e], cert: /c}\n",
     "h.yaml:3:21: backup.etcd.endpoints: there is nowhere to keep backups; add one under backup.destinations\nh.yaml:3:21: "
     "backup.etcd.endpoints: https needs the CA of the members; add backup.etcd.ca\nh.yaml:3:40: backup.etcd.cert: a certificate "
     "needs its key; add backup.etcd.key\n"},
    {"schedule and every", V "backup:\n  schedule: \"@daily\"\n  every: 6h\n",
     "h.yaml:4:10: backup.every: backup.schedule is given too, and only one of them can hold; remove one\n"},
    {"every and schedule", V "backup: {every: 6h, schedule: \"@daily\"}\n",
     "h.yaml:2:31: backup.schedule: backup.every is given too, and only one of them can hold; remove one\n"},
    {"schedule empty", V "backup: {schedule: \"\"}\n", "h.yaml:2:20: backup.schedule: is empty; write it or remove the key\n"},
    {"schedule a list", V "backup: {schedule: [0, 2]}\n", "h.yaml:2:20: backup.schedule: is a list, not a text; write a text\n"},
    {"schedule misspelt", V "backup: {shedule: \"@daily\"}\n",
     "h.yaml:2:10: backup.shedule: unknown key; did you mean \"schedule\"?\n"},
    {"time zone that is none", V "backup: {timezone: \"../../etc/passwd\"}\n", "h.yaml:2:20: " NO_ZONE("../../etc/passwd")},
    {"time zone by offset", V "backup: {timezone: \"+02:00\"}\n", "h.yaml:2:20: " NO_ZONE("+02:00")},
    {"max_age without unit", V "backup: {max_age: 26}\n",
     "h.yaml:2:19: backup.max_age: \"26\" has no unit; write it like 500ms, 30s, 5m, 1h30m or 2d\n"},
    {"retention of nothing", KEEP("{daily: 0, last: 0}"), "h.yaml:4:59: " KEEPS_NONE},
    {"retention empty", KEEP("{}"), "h.yaml:4:59: " KEEPS_NONE},
    {"retention a number", KEEP("7"),
     "h.yaml:4:59: backup.destinations[0].retention: is one value, not a map of keys; put its keys below it, indented\n"},
    {"retention below zero", KEEP("{daily: -1}"),
     "h.yaml:4:67: backup.destinations[0].retention.daily: \"-1\" is less than 0; write 0 or more\n"},
    {"retention too large", KEEP("{daily: 4001}"),
     "h.yaml:4:67: backup.destinations[0].retention.daily: \"4001\" is more than 4000; write 4000 or less\n"},
    {"retention of more than there can be", KEEP("{daily: 3000, last: 1001}"),
     "h.yaml:4:59: backup.destinations[0].retention: keeps 4001 backups in all, and one destination holds 4000 at most; lower "
     "some "
     "of the numbers\n"},
    {"one folder", FOLDERS("/b", "/b"), ONE_FOLDER},
    {"one folder with slashes", FOLDERS("/b/c", "//b///c/"), ONE_FOLDER},
    {"one folder with dots", FOLDERS("/b", "/x/../y/./z/../../b/."), ONE_FOLDER},
    {"one folder, the root", FOLDERS("/", "/x/.."), ONE_FOLDER},
    {"retention misspelt", KEEP("{dayly: 7}"),
     "h.yaml:4:60: backup.destinations[0].retention.dayly: unknown key; did you mean \"daily\"?\n"},
    {"retention given twice", KEEP("{daily: 7, daily: 8}"),
     "h.yaml:4:70: backup.destinations[0].retention.daily: given twice, first on line 4; keep one\n"},
    {"retention of the second only",
     V "backup:\n  destinations:\n    - {name: a, type: directory, path: /b, retention: {last: 1}}\n    - {name: b, type: "
       "directory, "
       "path: /c, retention: {last: 0}}\n",
     "h.yaml:5:55: backup.destinations[1].retention: keeps no backup at all; write at least one rule, like daily: 7, or remove "
     "the "
     "key for the default\n"},
    {"context of nothing", V "kubernetes: {context: a}\n",
     "h.yaml:2:23: kubernetes.context: is a context of a kubeconfig; add kubernetes.kubeconfig\n"},
    {"a kind nobody knows", V "ingest: {kinds: [Pod, Gateway]}\n",
     "h.yaml:2:23: ingest.kinds[1]: \"Gateway\" is not one of the 20 kinds; write them like Pod, Service, "
     "PersistentVolumeClaim\n"},
    {"a kind twice", V "ingest: {kinds: [Pod, Pod]}\n", "h.yaml:2:17: ingest.kinds: names Pod twice; remove one\n"},
    {"no kind", V "ingest: {kinds: []}\n", "h.yaml:2:17: ingest.kinds: names no kind; name some, or remove the key for all\n"},
    {"tokens in plain text", V "ingest: {platform_url: \"http://platform.lan\"}\n",
     "h.yaml:2:24: ingest.platform_url: would send tokens in plain text; write https://, or ingest.allow_plaintext: true if you "
     "want that\n"},
    {"ingest by a configuration that lacks everything", V "ingest: {enabled: true, source: config}\n",
     "h.yaml:1:1: ingest.platform_url: is missing; with source: config it must be said here\n"
     "h.yaml:1:1: ingest.cluster_name: is missing; with source: config it must be said here\n"
     "h.yaml:1:1: ingest.credentials.client_id_file: is missing; with source: config it must be said here\n"
     "h.yaml:1:1: ingest.credentials.private_key_file: is missing; with source: config it must be said here\n"},
    {"said twice", V "ingest: {enabled: true, cluster_name: a}\n",
     "h.yaml:2:39: ingest.cluster_name: is said by ObsykAgent resources; remove it, or write source: config\n"},
    {"too fast", V "ingest: {rate_limit: {events_per_second: 5001}}\n",
     "h.yaml:2:42: ingest.rate_limit.events_per_second: \"5001\" is more than 5000; write 5000 or less\n"},
    {"webhook of another scheme", V "notify: {webhook: \"ftp://h/secret\"}\n", "h.yaml:2:19: notify.webhook: " NO_URL},
    {"webhook with a password", V "notify: {webhook: \"https://u:p@h/\"}\n", "h.yaml:2:19: notify.webhook: " NO_URL},
    {"webhook with a fragment", V "notify: {webhook: \"https://h/#token\"}\n", "h.yaml:2:19: notify.webhook: " NO_URL},
    {"webhook too long", V "notify: {webhook: \"https://h/" LONG_256 "\"}\n",
     "h.yaml:2:19: notify.webhook: is longer than 255 bytes; shorten it\n"},
    {"ping_url without host", V "notify: {ping_url: \"https:///x\"}\n", "h.yaml:2:20: notify.ping_url: " NO_URL},
    {"two errors, in order", "listen: x\nversion: 3\n",
     "h.yaml:1:9: listen: \"x\" is not an address; write it like 127.0.0.1:9464, [::1]:9464, :9464 or unix:/path\nh.yaml:2:10: "
     "version: \"3\" is more than 1; write 1\n"},
    {"twelve errors", "x0: 1\nx1: 1\nx2: 1\nx3: 1\nx4: 1\nx5: 1\nx6: 1\nx7: 1\nx8: 1\nx9: 1\nx10: 1\n",
     UNKNOWN("1", "x0") UNKNOWN("2", "x1") UNKNOWN("3", "x2") UNKNOWN("4", "x3") UNKNOWN("5", "x4") UNKNOWN("6", "x5")
         UNKNOWN("7", "x6") UNKNOWN("8", "x7") UNKNOWN("9", "x8") UNKNOWN("10", "x9") "h.yaml: and 2 more\n"},
    {"third destination no map, fourth wrong",
     V "backup:\n  destinations:\n    - {name: local, type: directory, path: /b}\n    - 7\n    - {name: b, type: directory, "
       "path: \"\"}\n",
     "h.yaml:5:7: backup.destinations[1]: is not a map of keys; write its keys after the -\nh.yaml:6:40: "
     "backup.destinations[2].path: is empty; write it or remove the key\n"},
};

static err find_zone(void *arg, const char *name, struct zone *out)
{
    (void)arg;
    *out = zone_utc;
    return strcmp(name, "Europe/Berlin") == 0 ? OK : strcmp(name, "Bad/File") == 0 ? E_INVALID : E_ABSENT;
}

static void check_bad(const char *name, struct bytes yaml, const char *variable, const char *wanted)
{
    char storage[KIB(4)];
    const char *const environment[] = {"PATH=/bin", variable, NULL};
    struct text errors = text_over(storage, sizeof storage);
    struct config *c = (struct config *)(void *)storage;
    assert_int_equal(config_parse(yaml, "h.yaml", environment, NULL, &c, &errors), E_CONFIG);
    trail_clear();
    assert_null(c);
    if (strcmp(storage, wanted) != 0)
        fail_msg("%s: said %s wanted %s", name, storage, wanted);
}

static void test_bad(void **state)
{
    (void)state;
    size_t before = mem_use(TASK_BOARD).used_bytes;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        check_bad(bad[i].name, bytes_of(bad[i].yaml), NULL, bad[i].errors);
    assert_int_equal(mem_use(TASK_BOARD).used_bytes, before);
}

/* --- with a finder of zones --- */
#define OR_POSIX "; write UTC or a POSIX string like CET-1CEST,M3.5.0,M10.5.0/3\n"
static const struct {
    const char *name, *zone, *errors; /* NULL: good */
} zones[] = {
    {"UTC", "UTC", NULL},
    {"a name", "Europe/Berlin", NULL},
    {"POSIX", "<+0330>-3:30", NULL},
    {"no such file", "Europe/Bonn",
     "h.yaml:2:20: backup.timezone: this machine has no zoneinfo file for \"Europe/Bonn\"" OR_POSIX},
    {"summer time without a rule", "CET-1CEST",
     "h.yaml:2:20: backup.timezone: this machine has no zoneinfo file for \"CET-1CEST\", and no POSIX string has summer time "
     "without "
     "its rule" OR_POSIX},
    {"no such zone in the file", "Bad/File",
     "h.yaml:2:20: backup.timezone: the zoneinfo file of \"Bad/File\" cannot be used: not valid" OR_POSIX},
    {"not even a name", "Europe/", "h.yaml:2:20: " NO_ZONE("Europe/")},
};

static void test_zones(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(zones); i++) {
        char storage[KIB(1)], yaml[128];
        struct text errors = text_over(storage, sizeof storage);
        struct config *c = NULL;
        (void)snprintf(yaml, sizeof yaml, V "backup: {timezone: \"%s\"}\n", zones[i].zone);
        err e = config_parse(bytes_of(yaml), "h.yaml", NULL, &(struct config_zones){find_zone, NULL}, &c, &errors);
        trail_clear();
        if (strcmp(storage, zones[i].errors ? zones[i].errors : "") != 0)
            fail_msg("%s: said %s", zones[i].name, storage);
        assert_int_equal(e, zones[i].errors ? E_CONFIG : OK);
        config_free(c);
    }
}

/* The words are cron_parse()'s; the place is ours. */
static void test_schedules(void **state)
{
    (void)state;
    static const char *const schedules[] = {"0 2 * *", "0 24 * * *", "@nightly", "0 2 * * moon"};
    for (size_t i = 0; i < COUNT_OF(schedules); i++) {
        char yaml[128], said[256], wanted[320];
        struct text why = text_over(said, sizeof said);
        struct cron cron;
        assert_int_equal(cron_parse(bytes_of(schedules[i]), &cron, &why), E_INVALID);
        (void)snprintf(yaml, sizeof yaml, V "backup: {schedule: \"%s\"}\n", schedules[i]);
        (void)snprintf(wanted, sizeof wanted, "h.yaml:2:20: backup.schedule: %s\n", said);
        check_bad(schedules[i], bytes_of(yaml), NULL, wanted);
    }
}

static const struct {
    const char *name, *yaml, *variable, *errors;
} bad_environment[] = {
    {"wrong value", V, "HOLDFAST_LOG_LEVEL=verbose",
     "HOLDFAST_LOG_LEVEL: log.level: \"verbose\" is not one of debug, info, warn, error; choose one\n"},
    {"out of bounds", V, "HOLDFAST_BACKUP_EVERY=1s",
     "HOLDFAST_BACKUP_EVERY: backup.every: \"1s\" is less than 10s; write 10s or more\n"},
    {"not UTF-8", V, "HOLDFAST_DATA=/a\377", "HOLDFAST_DATA: data: has a control character or is not UTF-8; remove that\n"},
    {"path from here", V, "HOLDFAST_INGEST_SPOOL_PATH=spool",
     "HOLDFAST_INGEST_SPOOL_PATH: ingest.spool.path: \"spool\" is not a whole path; begin it with a slash\n"},
    {"does not hide the file's error", V "listen: x\n", "HOLDFAST_LISTEN=:1",
     "h.yaml:2:9: listen: \"x\" is not an address; write it like 127.0.0.1:9464, [::1]:9464, :9464 or unix:/path\n"},
    {"every over a schedule", V "backup: {schedule: \"@daily\"}\n", "HOLDFAST_BACKUP_EVERY=1h",
     "HOLDFAST_BACKUP_EVERY: backup.every: backup.schedule is given too, and only one of them can hold; remove one\n"},
    {"time zone", V, "HOLDFAST_BACKUP_TIMEZONE=here/", "HOLDFAST_BACKUP_TIMEZONE: " NO_ZONE("here/")},
    {"rule", V "backup:\n  etcd: {endpoints: [http://e:2379]}\n  destinations:\n    - {name: local, type: directory, path: /b}\n",
     "HOLDFAST_BACKUP_ETCD_CERT=/c",
     "HOLDFAST_BACKUP_ETCD_CERT: backup.etcd.cert: a certificate needs its key; add backup.etcd.key\n"},
};

static void test_bad_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad_environment); i++)
        check_bad(bad_environment[i].name, bytes_of(bad_environment[i].yaml), bad_environment[i].variable,
                  bad_environment[i].errors);
}

static void test_zero_byte(void **state)
{
    (void)state;
    static const uint8_t yaml[] = "data: /a\0b\n";
    check_bad("zero", (struct bytes){yaml, sizeof yaml - 1}, NULL, "h.yaml:1:9: a control character; remove it\n");
}

/* Larger than the bound, and just within it: comments only, so that nothing else is wrong first. */
static void test_large_file(void **state)
{
    (void)state;
    static uint8_t yaml[MIB(2)];
    memset(yaml, '#', sizeof yaml);
    check_bad("2 MiB", (struct bytes){yaml, sizeof yaml}, NULL,
              "h.yaml:1:1: the file is larger than 255 KiB; nothing here needs that\n");
    for (size_t i = 100; i < sizeof yaml; i += 100)
        yaml[i] = '\n';
    check_bad("255 KiB", (struct bytes){yaml, CONFIG_BYTES_MAX}, NULL,
              "h.yaml:1:1: the file is empty; start it with \"version: 1\"\n");
}

/* Small room for the messages: cut, never past the end. */
static void test_small_errors(void **state)
{
    (void)state;
    char storage[24];
    struct text errors = text_over(storage, sizeof storage);
    struct config *c;
    assert_int_equal(config_parse(bytes_of("x: 1\n"), "h.yaml", NULL, NULL, &c, &errors), E_CONFIG);
    trail_clear();
    assert_string_equal(storage, "h.yaml:1:1: x: unknown ");
    assert_true(errors.cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad),          cmocka_unit_test(test_bad_environment), cmocka_unit_test(test_zero_byte),
        cmocka_unit_test(test_schedules),    cmocka_unit_test(test_zones),           cmocka_unit_test(test_large_file),
        cmocka_unit_test(test_small_errors),
    };
    if (mem_boot(&profile_edge16, MEM_LAZY) != OK)
        return 1;
    return cmocka_run_group_tests_name("config, wrong files", tests, NULL, NULL);
}
