package compose

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// fileStat is what tells that a file is still the one that was hashed. ChangedNs and Inode are 0 where the system has none.
type fileStat struct {
	Size, ModifiedNs, ChangedNs int64
	Inode                       uint64
	Mode                        uint32
}

// racyWithin is how long after a change a file's hash is not kept: a second change within the clock's grain would not show.
const racyWithin = 2 * time.Second

// hashesMagic begins a cache file; another version's file is not read.
const hashesMagic = "strake file hashes 1\n"

type fileHash struct {
	stat fileStat
	sum  [sha256.Size]byte
}

// fileHashes is the cache of file hashes of one project. It is a cache only: what cannot be read is computed again.
type fileHashes struct {
	file string // "" keeps nothing
	now  func() time.Time
	old  map[string]fileHash

	mu    sync.Mutex
	fresh map[string]fileHash
	roots []string // folders that were walked: what is not seen in them is dropped
	dirty bool
}

// openHashes reads a cache of a project: "" is that of its builds, other names are of files that are asked for otherwise. Each has
// its own, because what a walk does not see is dropped.
func openHashes(o InputOptions, p *Project, of string) *fileHashes {
	name := p.WorkingDir + "\x00" + p.Name
	if of != "" {
		name += "\x00" + of
	}
	return openHashesOf(o, name)
}

// openHashesOf reads the cache of a name.
func openHashesOf(o InputOptions, name string) *fileHashes {
	h := &fileHashes{now: o.Now, fresh: map[string]fileHash{}}
	if o.CacheDir == "" {
		return h
	}
	sum := sha256.Sum256([]byte(name))
	h.file = filepath.Join(o.CacheDir, "inputs-"+hex.EncodeToString(sum[:8]))
	text, err := os.ReadFile(h.file)
	if err != nil {
		return h // not there yet, or not for us to read: every file is hashed
	}
	h.old = readHashes(text)
	return h
}

// walked says that every file of interest below root is asked for from now on.
func (h *fileHashes) walked(root string) { h.roots = append(h.roots, root) }

// known is the hash of a file that has not changed since it was learned.
func (h *fileHashes) known(name string, stat fileStat) ([sha256.Size]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f, ok := h.fresh[name]; ok && f.stat == stat {
		return f.sum, true
	}
	f, ok := h.old[name]
	if !ok || f.stat != stat {
		return f.sum, false
	}
	h.fresh[name] = f
	return f.sum, true
}

// learn keeps the hash of a file, unless it changed so lately that a further change might not show in its times.
func (h *fileHashes) learn(name string, stat fileStat, sum [sha256.Size]byte) {
	if h.file == "" || h.now().Sub(time.Unix(0, max(stat.ModifiedNs, stat.ChangedNs))) < racyWithin {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fresh[name] = fileHash{stat, sum}
	h.dirty = true
}

// save writes the cache if it changed. A cache that cannot be written costs time and nothing else, so no error is told.
func (h *fileHashes) save() {
	if h.file == "" {
		return
	}
	for name, f := range h.old {
		if _, ok := h.fresh[name]; ok {
			continue
		}
		if h.below(name) {
			h.dirty = true
			continue
		}
		h.fresh[name] = f
	}
	if !h.dirty || os.MkdirAll(filepath.Dir(h.file), 0o700) != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(h.file), filepath.Base(h.file)+".*")
	if err != nil {
		return
	}
	_, err = tmp.Write(writeHashes(h.fresh))
	if cerr := tmp.Close(); err == nil && cerr == nil && os.Rename(tmp.Name(), h.file) == nil {
		return
	}
	_ = os.Remove(tmp.Name()) // the next run writes another
}

// below is whether name lies in a folder that was walked.
func (h *fileHashes) below(name string) bool {
	for _, root := range h.roots {
		if strings.HasPrefix(name, strings.TrimSuffix(root, string(filepath.Separator))+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

// statSize is the length of a fileStat and a hash in a cache file.
const statSize = 4*8 + 4 + sha256.Size

// writeHashes is the cache file: magic, entries (length and bytes of the name, stat, hash), and a checksum of them.
func writeHashes(m map[string]fileHash) []byte {
	b := make([]byte, 0, len(m)*(statSize+96))
	b = append(b, hashesMagic...)
	for name, f := range m {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
		b = binary.LittleEndian.AppendUint64(b, uint64(f.stat.Size))
		b = binary.LittleEndian.AppendUint64(b, uint64(f.stat.ModifiedNs))
		b = binary.LittleEndian.AppendUint64(b, uint64(f.stat.ChangedNs))
		b = binary.LittleEndian.AppendUint64(b, f.stat.Inode)
		b = binary.LittleEndian.AppendUint32(b, f.stat.Mode)
		b = append(b, f.sum[:]...)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// readHashes reads what writeHashes wrote; nil for anything else.
func readHashes(b []byte) map[string]fileHash {
	if len(b) < len(hashesMagic)+4 || !bytes.HasPrefix(b, []byte(hashesMagic)) {
		return nil
	}
	body, check := b[:len(b)-4], b[len(b)-4:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(check) {
		return nil
	}
	text := string(body) // names share its memory
	m := make(map[string]fileHash, len(body)/(statSize+64))
	for i := len(hashesMagic); i < len(body); {
		n, used := binary.Uvarint(body[i:])
		i += used
		if used <= 0 || n > uint64(len(body)) || i+int(n)+statSize > len(body) {
			return nil
		}
		name := text[i : i+int(n)]
		i += int(n)
		m[name] = fileHash{
			stat: fileStat{
				Size:       int64(binary.LittleEndian.Uint64(body[i:])),
				ModifiedNs: int64(binary.LittleEndian.Uint64(body[i+8:])),
				ChangedNs:  int64(binary.LittleEndian.Uint64(body[i+16:])),
				Inode:      binary.LittleEndian.Uint64(body[i+24:]),
				Mode:       binary.LittleEndian.Uint32(body[i+32:]),
			},
			sum: [sha256.Size]byte(body[i+36 : i+statSize]),
		}
		i += statSize
	}
	return m
}

// statOf takes what matters of a file's stat.
func statOf(info fs.FileInfo) fileStat {
	s := fileStat{Size: info.Size(), ModifiedNs: info.ModTime().UnixNano(), Mode: uint32(info.Mode())}
	s.Inode, s.ChangedNs = systemStat(info)
	return s
}
