package main

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What the platform knows: a snapshot replaces all, events are applied in the order they come. Beside it what a real
// platform would not keep: every arrival with its time, and per object what came before.

const (
	versionName = "holdfast.test/version" // label or annotation; a number that the test counts up with each change
	journalMax  = 2_000_000
	problemsMax = 1000
)

// arrival is one request to the API; times are seconds of the kernel's monotonic clock.
type arrival struct {
	Seq     int     `json:"seq"`
	At      float64 `json:"at"`
	Path    string  `json:"path"`
	Status  int     `json:"status"`
	Type    string  `json:"type,omitempty"`
	Kind    string  `json:"kind,omitempty"`
	UID     string  `json:"uid,omitempty"`
	Name    string  `json:"name,omitempty"`
	Version int64   `json:"version,omitempty"`
	Repeat  bool    `json:"repeat,omitempty"` // the same body came for this object before
	Older   bool    `json:"older,omitempty"`  // an older state after a newer one
	Bytes   int     `json:"bytes"`
	By      string  `json:"by,omitempty"` // the agent_version that was last told with this token
	Body    string  `json:"body,omitempty"`
}

// past is what came for one uid since the start, snapshots included; kept when the object is gone.
type past struct {
	version int64
	gone    bool
	bodies  map[uint64]bool
}

type snapshotSeen struct {
	At     float64           `json:"at"`
	Bytes  int               `json:"bytes"`
	Said   map[string]string `json:"said"` // the texts before the arrays
	Counts map[string]int    `json:"counts"`
	Body   string            `json:"body,omitempty"`
}

// expectation is what a test can ask for besides the contract; replaced by POST /control/expect.
type expectation struct {
	ClusterUID  string `json:"cluster_uid"` // empty: any
	ClusterName string `json:"cluster_name"`
	EventTypes  string `json:"event_types"` // lower or upper
	UserAgent   string `json:"user_agent"`
	OkStatus    int    `json:"ok_status"`
	Lenient     bool   `json:"lenient"` // objects of any shape, for benchmark opponents
	KeepBodies  bool   `json:"keep_bodies"`
}

type state struct {
	sync.Mutex
	started   time.Time
	base      float64 // the monotonic clock at `started`
	seed      maphash.Seed
	client    client
	expect    atomic.Pointer[expectation] // read without the lock
	tokens    map[string]time.Time
	voices    map[string]string // what a token's bearer said of itself: its agent_version
	jtis      map[string]bool
	objects   map[string]map[string]string // kind, uid: the Info's text
	past      map[string]*past
	journal   []arrival
	snapshots []snapshotSeen
	problems  []string
	counts    map[string]int
	faults    []*fault
}

func newState() *state {
	s := &state{started: time.Now(), base: monotonic(), seed: maphash.MakeSeed(), tokens: map[string]time.Time{}, voices: map[string]string{}, jtis: map[string]bool{}}
	s.expect.Store(&expectation{EventTypes: "lower", UserAgent: "obsyk-operator/1.0", OkStatus: 200})
	s.clear("journal", "problems", "counts", "state")
	return s
}

func (s *state) clear(what ...string) {
	for _, name := range what {
		switch name {
		case "journal":
			s.journal, s.snapshots = nil, nil
		case "problems":
			s.problems = nil
		case "counts":
			s.counts = map[string]int{}
		case "faults":
			s.faults = nil
		case "state":
			s.past = map[string]*past{}
			s.objects = map[string]map[string]string{}
			for _, row := range kinds {
				s.objects[row.kind] = map[string]string{}
			}
		}
	}
}

func (s *state) now() float64 { return s.base + time.Since(s.started).Seconds() }

func (s *state) problem(what string) {
	s.counts["problems"]++
	if len(s.problems) < problemsMax {
		s.problems = append(s.problems, what)
	}
}

func (s *state) arrive(a arrival) {
	a.Seq = len(s.journal)
	if len(s.journal) < journalMax {
		s.journal = append(s.journal, a)
	}
}

func versionOf(info *node) int64 {
	for _, name := range []string{"labels", "annotations"} {
		if texts := info.get(name); texts != nil {
			if text := texts.get(versionName); text != nil {
				version, _ := strconv.ParseInt(text.text, 10, 64)
				return version
			}
		}
	}
	return 0
}

func (s *state) pastOf(kind, uid string) *past {
	key := kind + "/" + uid
	if s.past[key] == nil {
		s.past[key] = &past{bodies: map[uint64]bool{}}
	}
	return s.past[key]
}

// heartbeat, event and snapshot check without the lock, then apply with it.

func (s *state) heartbeat(n *node, a *arrival) (func(), error) {
	a.By = said(n)
	if err := check("heartbeat", n, shapes["heartbeat"]); err != nil {
		return nil, err
	}
	return func() { s.counts["heartbeats"]++ }, s.rightCluster(n)
}

func said(n *node) string {
	if version := n.get("agent_version"); version != nil {
		return version.text
	}
	return ""
}

func (s *state) rightCluster(n *node) error {
	uid := n.get("cluster_uid").text
	if uid == "" || (s.expect.Load().ClusterUID != "" && uid != s.expect.Load().ClusterUID) {
		return fmt.Errorf("cluster_uid %q, not %q", uid, s.expect.Load().ClusterUID)
	}
	return nil
}

// typeOf gives the lower-case word of an event's type; empty when it is not spelled as expected.
func (s *state) typeOf(text string) string {
	words := map[string]string{"added": "added", "modified": "modified", "deleted": "deleted"}
	if s.expect.Load().EventTypes == "upper" {
		words = map[string]string{"ADDED": "added", "UPDATED": "modified", "DELETED": "deleted"}
	}
	return words[text]
}

func (s *state) event(n *node, a *arrival) (func(), error) {
	if err := check("event", n, shapes["event"]); err != nil {
		return nil, err
	}
	if err := s.rightCluster(n); err != nil {
		return nil, err
	}
	a.Type, a.Kind, a.UID, a.Name = s.typeOf(n.get("type").text), n.get("kind").text, n.get("uid").text, n.get("name").text
	row := kindOf(a.Kind)
	switch {
	case a.Type == "":
		return nil, fmt.Errorf("event: type %q", n.get("type").text)
	case row == nil:
		return nil, fmt.Errorf("event: kind %q", a.Kind)
	case a.UID == "" || a.Name == "":
		return nil, fmt.Errorf("event: %s without uid or name", a.Kind)
	case row.namespaced != (n.get("namespace") != nil):
		return nil, fmt.Errorf("event: %s and its namespace do not agree", a.Kind)
	case (a.Type == "deleted") != (n.get("object") == nil):
		return nil, fmt.Errorf("event: %s and its object do not agree", a.Type)
	}
	info := n.get("object")
	if info != nil {
		if err := s.agrees(row, n, info); err != nil {
			return nil, err
		}
		a.Version = versionOf(info)
	}
	body := maphash.Bytes(s.seed, n.raw)
	return func() { s.apply(a, info, body) }, nil
}

func (s *state) agrees(row *kindRow, event, info *node) error {
	if s.expect.Load().Lenient {
		return nil
	}
	if err := checkInfo(row, info); err != nil {
		return err
	}
	for _, name := range []string{"uid", "name", "namespace"} {
		outer, inner := event.get(name), info.get(name)
		if (outer == nil) != (inner == nil) || (outer != nil && outer.text != inner.text) {
			return fmt.Errorf("event: %s and its object differ in %s", row.kind, name)
		}
	}
	return nil
}

func (s *state) apply(a *arrival, info *node, body uint64) {
	s.counts["events"]++
	s.counts[a.Type]++
	was, known := s.objects[a.Kind][a.UID]
	before := s.pastOf(a.Kind, a.UID)
	a.Repeat = before.bodies[body]
	before.bodies[body] = true
	a.Older = info != nil && (before.gone || (a.Version > 0 && a.Version < before.version))
	for name, holds := range map[string]bool{
		"repeats": a.Repeat, "older": a.Older, "added_known": a.Type == "added" && known,
		"modified_unknown": a.Type == "modified" && !known, "deleted_unknown": a.Type == "deleted" && !known,
		"unchanged": info != nil && known && string(info.raw) == was,
	} {
		if holds {
			s.counts[name]++
		}
	}
	if info == nil {
		delete(s.objects[a.Kind], a.UID)
		before.gone = true
		return
	}
	before.version, before.gone = max(before.version, a.Version), false
	s.objects[a.Kind][a.UID] = string(info.raw)
}

func (s *state) snapshot(n *node, a *arrival) (func(), error) {
	a.By = said(n)
	if err := check("snapshot", n, shapes["snapshot"]); err != nil {
		return nil, err
	}
	if err := s.rightCluster(n); err != nil {
		return nil, err
	}
	seen := snapshotSeen{At: a.At, Bytes: a.Bytes, Said: map[string]string{}, Counts: map[string]int{}}
	for i := range n.members {
		if n.members[i].node.kind == '"' {
			seen.Said[n.members[i].name] = n.members[i].node.text
		}
	}
	if name := seen.Said["cluster_name"]; name == "" || (s.expect.Load().ClusterName != "" && name != s.expect.Load().ClusterName) {
		return nil, fmt.Errorf("cluster_name %q, not %q", name, s.expect.Load().ClusterName)
	}
	all := map[string]map[string]*node{}
	for i := range kinds {
		objects, err := s.snapshotKind(&kinds[i], n.get(kinds[i].key))
		if err != nil {
			return nil, err
		}
		all[kinds[i].kind], seen.Counts[kinds[i].kind] = objects, len(objects)
	}
	if s.expect.Load().KeepBodies {
		seen.Body = string(n.raw)
	}
	return func() { s.replace(a, all, seen) }, nil
}

func (s *state) snapshotKind(row *kindRow, list *node) (map[string]*node, error) {
	objects := map[string]*node{}
	for i := range list.items {
		info := &list.items[i]
		if info.kind != '{' || info.get("uid") == nil {
			return nil, errors.New("snapshot: " + row.key + ": something without uid")
		}
		if err := checkInfo(row, info); err != nil && !s.expect.Load().Lenient {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
		uid := info.get("uid").text
		if objects[uid] != nil {
			return nil, fmt.Errorf("snapshot: %s: %s twice", row.key, uid)
		}
		objects[uid] = info
	}
	return objects, nil
}

func (s *state) replace(a *arrival, all map[string]map[string]*node, seen snapshotSeen) {
	s.counts["snapshots"]++
	s.snapshots = append(s.snapshots, seen)
	for kind, objects := range all {
		for uid := range s.objects[kind] {
			if objects[uid] == nil {
				s.pastOf(kind, uid).gone = true
			}
		}
		s.objects[kind] = map[string]string{}
		for uid, info := range objects {
			s.objects[kind][uid] = string(info.raw)
			before, version := s.pastOf(kind, uid), versionOf(info)
			if before.gone || version < before.version {
				a.Older = true
				s.counts["older"]++
			}
			before.version, before.gone = max(before.version, version), false
		}
	}
}

// stateText is the objects of a kind as JSON: {uid: Info}.
func (s *state) stateText(kind string) string {
	var text strings.Builder
	text.WriteByte('{')
	for uid, info := range s.objects[kind] {
		if text.Len() > 1 {
			text.WriteByte(',')
		}
		text.WriteString(strconv.Quote(uid) + ":" + info)
	}
	text.WriteByte('}')
	return text.String()
}
