package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	bodyMax     = 1 << 30
	tokenPath   = "/oauth/token"
	agentPrefix = "/api/v1/agent/"
)

// fault is one rule; the first that matches and has times left is used. Status 0 is success.
type fault struct {
	Path    string            `json:"path"` // token, snapshot, events, heartbeat or *
	Kind    string            `json:"kind"`
	Names   []string          `json:"names"` // of the event's object; none: any
	Times   int               `json:"times"` // -1: until replaced
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	DelayMS int               `json:"delay_ms"` // before the answer; what came counts from its arrival
	Hang    bool              `json:"hang"`     // no answer until the client gives up or the rule is taken back
	Reset   bool              `json:"reset"`    // RST in place of an answer
	Apply   bool              `json:"apply"`    // took effect all the same: the answer was lost
	Hold    int64             `json:"hold"`     // of the body no more than so many bytes are read until the rule is taken back
	Used    int               `json:"used"`
}

func (f *fault) fails() bool { return f.Status >= 300 || f.Hang || f.Reset }

func (s *state) faultFor(a *arrival) *fault {
	for _, f := range s.faults {
		if f.Hold > 0 || f.Times == 0 || (f.Path != "*" && f.Path != a.Path) || (f.Kind != "" && f.Kind != a.Kind) {
			continue
		}
		if len(f.Names) > 0 && !slices.Contains(f.Names, a.Name) {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		f.Used++
		return f
	}
	return nil
}

func (s *state) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := arrival{At: s.now(), Path: "token"}
	if r.URL.Path != tokenPath {
		a.Path = strings.TrimPrefix(r.URL.Path, agentPrefix)
	}
	begun := s.hold(r, &a)
	body, err := io.ReadAll(io.LimitReader(io.MultiReader(bytes.NewReader(begun), r.Body), bodyMax))
	if err != nil {
		s.Lock()
		s.counts["cut"]++ // the client went away in the middle of its body
		s.Unlock()
		panic(http.ErrAbortHandler)
	}
	a.Bytes = len(body)
	status, answer, f := s.handle(r, body, &a)
	if f != nil && f.fails() || f != nil && f.DelayMS > 0 {
		s.misbehave(w, r, f, status, answer)
		return
	}
	writeJSON(w, status, answer)
}

// hold reads the begin of a body, and waits, when a rule for the path says so; counts tell that it is held.
func (s *state) hold(r *http.Request, a *arrival) []byte {
	s.Lock()
	var f *fault
	for _, one := range s.faults {
		if one.Hold > 0 && one.Path == a.Path {
			f = one
		}
	}
	s.Unlock()
	if f == nil {
		return nil
	}
	begun, _ := io.ReadAll(io.LimitReader(r.Body, f.Hold))
	s.Lock()
	s.counts["held"]++
	s.Unlock()
	for s.holds(f) && r.Context().Err() == nil {
		wait(r.Context(), 20*time.Millisecond)
	}
	return begun
}

// handle checks, applies and records one request.
func (s *state) handle(r *http.Request, body []byte, a *arrival) (int, any, *fault) {
	now := time.Now()
	problem := s.headers(r, a.Path)
	var apply func()
	var status int
	if problem == nil && a.Path != "token" {
		apply, status, problem = s.look(body, a)
	}
	s.Lock()
	defer s.Unlock()
	s.counts["proto "+r.Proto]++
	var answer any = map[string]any{}
	var f *fault
	if problem == nil {
		f = s.faultFor(a)
	}
	switch {
	case problem != nil:
		status = max(status, http.StatusBadRequest)
		answer = map[string]any{"error": problem.Error()}
		s.problem(problem.Error())
	case a.Path != "token" && !s.bearer(r, a, now):
		status, answer = http.StatusUnauthorized, map[string]any{"error": "invalid_token"}
	case f != nil && f.fails() && !f.Apply:
		status = f.Status
	case a.Path == "token":
		status, answer = s.token(body, now)
	default:
		apply()
		status = s.expect.Load().OkStatus
	}
	if f != nil && f.fails() && status < 300 {
		status = f.Status
	}
	a.Status = status
	if s.expect.Load().KeepBodies && a.Path == "events" {
		a.Body = string(body)
	}
	s.arrive(*a)
	return status, answer, f
}

func (s *state) token(body []byte, now time.Time) (int, any) {
	answer, err := s.grant(body, now)
	if err != nil {
		s.problem(err.Error())
		return http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": err.Error()}
	}
	return http.StatusOK, answer
}

func (s *state) look(body []byte, a *arrival) (func(), int, error) {
	looks := map[string]func(*node, *arrival) (func(), error){"events": s.event, "snapshot": s.snapshot, "heartbeat": s.heartbeat}
	look := looks[a.Path]
	if look == nil {
		return nil, http.StatusNotFound, fmt.Errorf("no such path: %q", a.Path)
	}
	n, err := parse(body)
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("%s: %w: %.200s", a.Path, err, body)
	}
	if n.kind != '{' {
		return nil, http.StatusUnprocessableEntity, fmt.Errorf("%s: not an object", a.Path)
	}
	apply, err := look(&n, a)
	if err != nil {
		err = fmt.Errorf("%w: %.300s", err, body)
	}
	return apply, http.StatusUnprocessableEntity, err
}

var headersKnown = []string{"Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Length", "Content-Type", "User-Agent"}

// headers holds a request against ingest.md 4.1.
func (s *state) headers(r *http.Request, path string) error {
	wanted := "application/json"
	if path == "token" {
		wanted = "application/x-www-form-urlencoded"
	}
	switch {
	case r.Method != http.MethodPost:
		return fmt.Errorf("%s: method %s", path, r.Method)
	case r.URL.RawQuery != "" || strings.Contains(r.URL.Path, "//"):
		return fmt.Errorf("path %q", r.URL.String())
	case r.Header.Get("Content-Type") != wanted:
		return fmt.Errorf("%s: Content-Type %q", path, r.Header.Get("Content-Type"))
	case r.Header.Get("User-Agent") != s.expect.Load().UserAgent && !s.expect.Load().Lenient:
		return fmt.Errorf("%s: User-Agent %q", path, r.Header.Get("User-Agent"))
	case r.ContentLength <= 0 || len(r.TransferEncoding) > 0:
		return fmt.Errorf("%s: no Content-Length", path)
	case path == "token" && r.Header.Get("Authorization") != "":
		return fmt.Errorf("token: with an Authorization header")
	}
	for name := range r.Header {
		if !slices.Contains(headersKnown, name) {
			return fmt.Errorf("%s: header %s", path, name)
		}
	}
	return nil
}

func (s *state) misbehave(w http.ResponseWriter, r *http.Request, f *fault, status int, answer any) {
	wait(r.Context(), time.Duration(f.DelayMS)*time.Millisecond)
	for f.Hang && s.holds(f) && r.Context().Err() == nil {
		wait(r.Context(), 20*time.Millisecond)
	}
	if f.Hang || f.Reset {
		reset(w)
	}
	for name, value := range f.Headers {
		w.Header().Set(name, value)
	}
	if f.Body == "" {
		writeJSON(w, status, answer)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(f.Body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, f.Body)
}

func (s *state) holds(f *fault) bool {
	s.Lock()
	defer s.Unlock()
	return slices.Contains(s.faults, f)
}

func wait(ctx context.Context, how time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(how):
	}
}

// reset ends the connection with RST (HTTP/1.1) or the stream (HTTP/2).
func reset(w http.ResponseWriter) {
	if hijacker, ok := w.(http.Hijacker); ok {
		if conn, _, err := hijacker.Hijack(); err == nil {
			linger(conn)
			_ = conn.Close()
		}
	}
	panic(http.ErrAbortHandler)
}

func linger(conn net.Conn) {
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// door is the platform's listener, which a test opens and shuts.
type door struct {
	sync.Mutex
	address  string
	server   *http.Server
	config   *tls.Config // nil: plaintext
	listener net.Listener
	conns    map[net.Conn]bool
	opened   int
}

func (d *door) track(conn net.Conn, is http.ConnState) {
	d.Lock()
	defer d.Unlock()
	switch is {
	case http.StateNew:
		d.conns[conn] = true
		d.opened++
	case http.StateClosed, http.StateHijacked:
		delete(d.conns, conn)
	}
}

func (d *door) up() error {
	d.Lock()
	defer d.Unlock()
	if d.listener != nil {
		return nil
	}
	listener, err := net.Listen("tcp", d.address)
	if err != nil {
		return err
	}
	d.listener = listener
	go func() {
		if d.config == nil {
			_ = d.server.Serve(listener)
		} else {
			_ = d.server.ServeTLS(listener, "", "")
		}
	}()
	return nil
}

// down refuses new connections and resets those there are.
func (d *door) down() {
	d.Lock()
	if d.listener != nil {
		_ = d.listener.Close()
		d.listener = nil
	}
	d.Unlock()
	d.cut()
}

func (d *door) cut() {
	d.Lock()
	defer d.Unlock()
	for conn := range d.conns {
		linger(conn)
		if over, ok := conn.(*tls.Conn); ok {
			_ = over.NetConn().Close()
		}
		_ = conn.Close()
	}
}
