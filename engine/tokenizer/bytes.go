package tokenizer

import "unicode/utf8"

// Byte-level vocabularies write each byte as one printable character: the 188
// printable Latin-1 bytes as themselves, the other 68 as U+0100 and up, in
// byte order (GPT-2's bytes_to_unicode).
var byteToChar, charToByte = byteLevelAlphabet()

// firstUnprintable is the character that stands for the first byte without a
// printable form of its own.
const firstUnprintable = 0x100

func byteLevelAlphabet() (toChar [256]rune, toByte map[rune]byte) {
	toByte = make(map[rune]byte, 256)
	next := rune(firstUnprintable)
	for b := range 256 {
		r := rune(b)
		printable := '!' <= r && r <= '~' || 0xA1 <= r && r <= 0xAC || 0xAE <= r && r <= 0xFF
		if !printable {
			r = next
			next++
		}
		toChar[b] = r
		toByte[r] = byte(b)
	}
	return toChar, toByte
}

// rawBytes returns the bytes that a byte-level token stands for; ok is false
// when the token holds a character outside of the alphabet.
func rawBytes(token string) (raw string, ok bool) {
	buf := make([]byte, 0, len(token))
	for i := 0; i < len(token); {
		r, n := utf8.DecodeRuneInString(token[i:])
		b, known := charToByte[r]
		if !known || r == utf8.RuneError && n == 1 {
			return "", false
		}
		buf = append(buf, b)
		i += n
	}
	return string(buf), true
}
