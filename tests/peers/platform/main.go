// platform plays the ingest platform, strictly: it takes what the published contract says and refuses the rest, keeps
// the state that the snapshots and events add up to, and misbehaves on command.
//
//	platform --listen 127.0.0.1:P --control 127.0.0.1:Q --cert F --key F --client-id ID --public-key F --audience URL
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const clockMonotonic = 1 // linux/time.h

// monotonic is the clock that Python's time.monotonic() reads.
func monotonic() float64 {
	var at syscall.Timespec
	if _, _, no := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&at)), 0); no != 0 {
		panic(no)
	}
	return float64(at.Sec) + float64(at.Nsec)/1e9
}

type control struct {
	*state
	door *door
}

func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/state" {
		c.Lock()
		text := c.stateText(r.URL.Query().Get("kind"))
		c.Unlock()
		_, _ = w.Write([]byte(text))
		return
	}
	answer, err := c.command(r)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (c *control) command(r *http.Request) (any, error) {
	switch r.URL.Path {
	case "/down":
		c.door.down()
		return nil, c.later(r.URL.Query().Get("seconds"))
	case "/up":
		return nil, c.door.up()
	case "/cut":
		c.door.cut()
		return nil, nil
	case "/stats":
		return c.stats(), nil
	}
	c.Lock()
	defer c.Unlock()
	read := json.NewDecoder(r.Body)
	read.DisallowUnknownFields()
	switch r.URL.Path {
	case "/journal":
		since, _ := strconv.Atoi(r.URL.Query().Get("since"))
		return c.journal[min(max(since, 0), len(c.journal)):], nil
	case "/snapshots":
		return c.snapshots, nil
	case "/problems":
		return c.problems, nil
	case "/clear":
		c.clear(strings.Split(r.URL.Query().Get("what"), ",")...)
		return nil, nil
	case "/faults":
		if r.Method == http.MethodGet {
			return slices.Clone(c.faults), nil
		}
		c.faults = nil
		return nil, read.Decode(&c.faults)
	case "/expect":
		asked := *c.expect.Load() // what is not named stays
		err := read.Decode(&asked)
		c.expect.Store(&asked)
		return nil, err
	case "/client":
		if err := read.Decode(&c.client); err != nil {
			return nil, err
		}
		return nil, c.client.load()
	case "/expire":
		seconds, err := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64)
		for token := range c.tokens {
			c.tokens[token] = time.Now().Add(time.Duration(seconds * float64(time.Second)))
		}
		return nil, err
	}
	return nil, fmt.Errorf("no such command: %s", r.URL.Path)
}

// later opens the door again after so many seconds; none: on /up.
func (c *control) later(seconds string) error {
	if seconds == "" {
		return nil
	}
	after, err := strconv.ParseFloat(seconds, 64)
	time.AfterFunc(time.Duration(after*float64(time.Second)), func() {
		if err := c.door.up(); err != nil {
			log.Print(err)
		}
	})
	return err
}

func (c *control) stats() any {
	c.Lock()
	defer c.Unlock()
	c.door.Lock()
	defer c.door.Unlock()
	sizes := map[string]int{}
	for kind, objects := range c.objects {
		sizes[kind] = len(objects)
	}
	return map[string]any{"counts": maps.Clone(c.counts), // it is written out without the lock
		"objects": sizes, "connections": c.door.opened, "connections_open": len(c.door.conns),
		"up": c.door.listener != nil, "journal": len(c.journal), "now": c.now()}
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "the platform's address")
	commands := flag.String("control", "", "address of the control endpoint (plain HTTP)")
	cert := flag.String("cert", "", "certificate; none: plaintext")
	key := flag.String("key", "", "its key")
	http2 := flag.Bool("http2", true, "offer HTTP/2 by ALPN")
	s := newState()
	flag.StringVar(&s.client.ID, "client-id", "agent", "who may ask for tokens")
	flag.StringVar(&s.client.Key, "public-key", "", "PEM file of that client's public key")
	flag.StringVar(&s.client.Audience, "audience", "", "the assertions' aud")
	s.client.ExpiresIn, s.client.ClockSkew, s.client.TokenBytes = 3600, 60, 64
	flag.Parse()
	if err := s.client.load(); err != nil {
		log.Fatal(err)
	}
	d := &door{address: *listen, conns: map[net.Conn]bool{}}
	d.server = &http.Server{Handler: s, ConnState: d.track, Protocols: new(http.Protocols)}
	d.server.Protocols.SetHTTP1(true)
	d.server.Protocols.SetHTTP2(*http2)
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			log.Fatal(err)
		}
		d.config = &tls.Config{Certificates: []tls.Certificate{pair}}
		d.server.TLSConfig = d.config
	}
	if err := d.up(); err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(os.Stderr, "platform listens on", *listen)
	log.Fatal(http.ListenAndServe(*commands, &control{s, d}))
}
