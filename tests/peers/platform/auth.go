package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
)

// The token endpoint: RFC 7523 with ES256, as ingest.md section 5 has it, and nothing more lenient.

const (
	assertionSeconds = 300
	formStart        = "assertion="
	formEnd          = "&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
)

var (
	uuid4       = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	claimsShape = compile(`iss:s sub:s aud:l exp:i iat:i jti:s`)
)

// client is who may ask for tokens; replaced by POST /control/client.
type client struct {
	ID         string `json:"client_id"`
	Key        string `json:"public_key"` // a PEM file
	Audience   string `json:"audience"`
	ExpiresIn  int    `json:"expires_in"`  // what the answer says
	ValidFor   int    `json:"valid_for"`   // what is meant; 0: the same
	ClockSkew  int    `json:"clock_skew"`  // seconds that iat may be away from now
	TokenBytes int    `json:"token_bytes"` // length of a token
	public     *ecdsa.PublicKey
}

func (c *client) load() error {
	text, err := os.ReadFile(c.Key)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New(c.Key + ": no PEM block")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return err
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return errors.New(c.Key + ": not an EC key")
	}
	c.public = public
	return nil
}

// assertion checks one JWT and gives its jti.
func (c *client) assertion(jwt string, now time.Time) (string, error) {
	pieces := strings.Split(jwt, ".")
	if len(pieces) != 3 {
		return "", errors.New("assertion: not three parts")
	}
	var raw [3][]byte
	for i := range pieces {
		var err error
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(pieces[i]); err != nil {
			return "", fmt.Errorf("assertion: part %d: %v", i+1, err)
		}
	}
	if string(raw[0]) != `{"alg":"ES256","typ":"JWT"}` {
		return "", fmt.Errorf("assertion: header %q", raw[0])
	}
	digest := sha256.Sum256([]byte(pieces[0] + "." + pieces[1]))
	if len(raw[2]) != 64 {
		return "", fmt.Errorf("assertion: a signature of %d bytes", len(raw[2]))
	}
	r, s := new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:])
	if !ecdsa.Verify(c.public, digest[:], r, s) {
		return "", errors.New("assertion: the signature is wrong")
	}
	return c.claims(raw[1], now)
}

func (c *client) claims(text []byte, now time.Time) (string, error) {
	n, err := parse(text)
	if err != nil {
		return "", fmt.Errorf("assertion: claims: %v", err)
	}
	if err := check("claims", &n, claimsShape); err != nil {
		return "", err
	}
	var exp, iat int64
	fmt.Sscan(string(n.get("exp").raw), &exp)
	fmt.Sscan(string(n.get("iat").raw), &iat)
	audience := n.get("aud").items
	away := now.Unix() - iat
	switch {
	case n.get("iss").text != c.ID || n.get("sub").text != c.ID:
		err = fmt.Errorf("claims: iss %q, sub %q, not %q", n.get("iss").text, n.get("sub").text, c.ID)
	case len(audience) != 1 || audience[0].text != c.Audience:
		err = fmt.Errorf("claims: aud %s, not %q", n.get("aud").raw, c.Audience)
	case exp-iat != assertionSeconds:
		err = fmt.Errorf("claims: exp - iat is %d", exp-iat)
	case max(away, -away) > int64(c.ClockSkew):
		err = fmt.Errorf("claims: iat is %d s away from now", away)
	case !uuid4.MatchString(n.get("jti").text):
		err = fmt.Errorf("claims: jti %q is no random UUID", n.get("jti").text)
	}
	return n.get("jti").text, err
}

// grant answers a token request; the state's lock is held.
func (s *state) grant(body []byte, now time.Time) (map[string]any, error) {
	text := string(body)
	if !strings.HasPrefix(text, formStart) || !strings.HasSuffix(text, formEnd) {
		return nil, fmt.Errorf("token request: body %.60q…", text)
	}
	jti, err := s.client.assertion(text[len(formStart):len(text)-len(formEnd)], now)
	if err != nil {
		return nil, err
	}
	if s.jtis[jti] {
		return nil, fmt.Errorf("assertion: jti %s a second time", jti)
	}
	s.jtis[jti] = true
	token := make([]byte, max(s.client.TokenBytes/2, 16))
	_, _ = rand.Read(token)
	valid := s.client.ValidFor
	if valid == 0 {
		valid = s.client.ExpiresIn
	}
	name := hex.EncodeToString(token)
	s.tokens[name] = now.Add(time.Duration(valid) * time.Second)
	s.counts["tokens"]++
	return map[string]any{"access_token": name, "token_type": "Bearer", "expires_in": s.client.ExpiresIn, "scope": "agent"}, nil
}

// bearer says whether the request's token is good; a bad one is the client's chance to fetch another, and counted. Who bears it is noted.
func (s *state) bearer(r *http.Request, a *arrival, now time.Time) bool {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if a.By != "" {
		s.voices[token] = a.By
	}
	a.By = s.voices[token]
	until, known := s.tokens[token]
	switch {
	case !found:
		s.counts["token_absent"]++
	case !known:
		s.counts["token_unknown"]++
	case !now.Before(until):
		s.counts["token_expired"]++
	default:
		return true
	}
	return false
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	text, _ := json.Marshal(value)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
