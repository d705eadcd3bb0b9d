// Checks logs of the portal with the libraries that Go checks its own checksum database with, and with no code of ours:
// golang.org/x/mod/sumdb/note (signatures) and golang.org/x/mod/sumdb/tlog (proofs).
//
// `make test-proofs` runs it with what __main__.py writes. What is whole has to be accepted. With one bit flipped, in
// a signature, a root, a proof, a salt or a body, it has to be refused. The exit code is 1 after any wrong verdict.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type portalLog struct {
	Vkey                  string
	Checkpoints, Receipts []string
	Consistency           []struct {
		Old, New int64
		Proof    [][]byte
	}
}

var wrong int

// tally counts the right verdicts of one kind of check.
type tally struct{ accepted, refused int }

func (t *tally) accept(what string, err error) {
	if err != nil {
		wrong++
		fmt.Printf("WRONG: %s is refused: %v\n", what, err)
		return
	}
	t.accepted++
}

// flip tries every value that differs from data in one bit; data itself is changed meanwhile.
func (t *tally) flip(what string, data []byte, try func() error) {
	for bit := 0; bit < 8*len(data); bit++ {
		data[bit/8] ^= 1 << (bit % 8)
		if try() == nil {
			wrong++
			fmt.Printf("WRONG: %s is accepted with bit %d flipped\n", what, bit)
		} else {
			t.refused++
		}
		data[bit/8] ^= 1 << (bit % 8)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Println("WRONG: this should be readable, and signed:", err)
		os.Exit(1)
	}
	return value
}

func decode(text string) []byte { return must(base64.StdEncoding.DecodeString(text)) }

// open returns what a checkpoint says, if the key of the log signed it.
func open(checkpoint string, keys note.Verifiers, origin string) (tlog.Tree, error) {
	opened, err := note.Open([]byte(checkpoint), keys)
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != origin {
		return tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func checkNote(t *tally, checkpoint string, keys note.Verifiers, origin string) tlog.Tree {
	tree := must(open(checkpoint, keys, origin))
	lines := strings.Split(checkpoint, "\n") // origin, size, root, "", signature, ""
	start := lines[4][:strings.LastIndex(lines[4], " ")+1]
	root, signature := decode(lines[2]), decode(strings.TrimPrefix(lines[4], start))
	try := func() error {
		lines[2] = base64.StdEncoding.EncodeToString(root)
		lines[4] = start + base64.StdEncoding.EncodeToString(signature)
		_, err := open(strings.Join(lines, "\n"), keys, origin)
		return err
	}
	t.accept("a checkpoint", try())
	t.flip("a signature", signature, try)
	t.flip("a signed root", root, try)
	return tree
}

func checkReceipt(t *tally, text string, keys note.Verifiers, origin string) {
	head, checkpoint, _ := strings.Cut(text, "\n\n")
	tree := must(open(checkpoint, keys, origin))
	lines := strings.Split(head, "\n") // format, extra, index, hashes
	var extra struct{ Body, Salt string }
	must(0, json.Unmarshal(decode(strings.TrimPrefix(lines[1], "extra ")), &extra))
	index := must(strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64))
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		proof = append(proof, must(tlog.ParseHash(line)))
	}
	body, salt := []byte(extra.Body), decode(extra.Salt)
	try := func() error {
		entry := sha256.Sum256([]byte("training-consent-event/v1\n" + string(salt) + string(body)))
		return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry[:]))
	}
	what := fmt.Sprintf("leaf %d of %d", index, tree.N)
	t.accept(what, try())
	for n := range proof {
		t.flip(what+": a hash of the proof", proof[n][:], try)
	}
	t.flip(what+": the root", tree.Hash[:], try)
	t.flip(what+": the salt", salt, try)
	t.flip(what+": the body", body, try)
}

func checkConsistency(t *tally, older, newer tlog.Tree, hashes [][]byte) {
	var proof tlog.TreeProof
	for _, each := range hashes {
		proof = append(proof, must(tlog.ParseHash(base64.StdEncoding.EncodeToString(each))))
	}
	try := func() error { return tlog.CheckTree(proof, newer.N, newer.Hash, older.N, older.Hash) }
	what := fmt.Sprintf("%d to %d", older.N, newer.N)
	t.accept(what, try())
	for n := range proof {
		t.flip(what+": a hash of the proof", proof[n][:], try)
	}
	t.flip(what+": the older root", older.Hash[:], try)
	t.flip(what+": the newer root", newer.Hash[:], try)
}

func main() {
	var logs []portalLog
	must(0, json.NewDecoder(os.Stdin).Decode(&logs))
	var tallies [3]tally
	notes, receipts, consistency := &tallies[0], &tallies[1], &tallies[2]
	for _, each := range logs {
		verifier := must(note.NewVerifier(each.Vkey))
		keys, trees := note.VerifierList(verifier), map[int64]tlog.Tree{}
		for _, text := range each.Checkpoints {
			tree := checkNote(notes, text, keys, verifier.Name())
			trees[tree.N] = tree
		}
		for _, text := range each.Receipts {
			checkReceipt(receipts, text, keys, verifier.Name())
		}
		for _, proof := range each.Consistency {
			checkConsistency(consistency, trees[proof.Old], trees[proof.New], proof.Proof)
		}
		fmt.Printf("%s: %d checkpoints, %d receipts, %d consistency proofs\n",
			verifier.Name(), len(each.Checkpoints), len(each.Receipts), len(each.Consistency))
	}
	for n, name := range []string{"signatures", "inclusion", "consistency"} {
		t := tallies[n]
		fmt.Printf("%-12s %6d accepted, %8d with one bit flipped refused\n", name, t.accepted, t.refused)
		if t.accepted == 0 || t.refused == 0 {
			wrong++
		}
	}
	fmt.Printf("%d wrong verdicts, by sumdb of golang.org/x/mod on %s\n", wrong, runtime.Version())
	if wrong > 0 {
		os.Exit(1)
	}
}
