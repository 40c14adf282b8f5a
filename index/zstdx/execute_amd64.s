//go:build !noasm

#include "go_asm.h"
#include "textflag.h"

// executeLoop copies literals and matches: see executeJob and execute.go.
//
// Registers:
//	R8     the next sequence
//	R9     how many are left
//	DI     where the next byte goes
//	SI     the next literal
//	BX     the front of the history
//	AX CX DX  literals, match, offset of the sequence
//	R11    source of the match

// func executeLoop(j *executeJob)
TEXT ·executeLoop(SB), NOSPLIT, $0-8
	MOVQ j+0(FP), R10
	MOVQ executeJob_seqs(R10), R8
	MOVQ executeJob_next(R10), AX
	IMUL3Q $seq__size, AX, CX
	ADDQ CX, R8
	MOVQ executeJob_n(R10), R9
	SUBQ AX, R9
	MOVQ executeJob_front(R10), BX
	MOVQ executeJob_at(R10), DI
	ADDQ BX, DI
	MOVQ executeJob_lit(R10), SI
	TESTQ R9, R9
	JEQ  done

loop:
	MOVL seq_lit(R8), AX
	MOVL seq_match(R8), CX
	MOVL seq_off(R8), DX
	MOVOU (SI), X0
	MOVOU X0, (DI)
	CMPQ  AX, $16
	JHI   longLiterals

literals:
	ADDQ AX, SI
	ADDQ AX, DI
	MOVQ DI, R11
	SUBQ DX, R11
	CMPQ R11, BX
	JLT  done                // before the front: the caller copies it
	CMPQ DX, $16
	JLO  near
	MOVOU (R11), X0
	MOVOU X0, (DI)
	CMPQ  CX, $16
	JHI   longMatch

next:
	ADDQ CX, DI
	ADDQ $seq__size, R8
	DECQ R9
	JNE  loop

done:
	SUBQ BX, DI
	MOVQ DI, executeJob_at(R10)
	MOVQ SI, executeJob_lit(R10)
	MOVQ executeJob_n(R10), AX
	SUBQ R9, AX
	MOVQ AX, executeJob_next(R10)
	RET

longLiterals:
	MOVOU 16(SI), X1
	MOVOU X1, 16(DI)
	MOVQ  $32, R12
	CMPQ  AX, R12
	JLS   literals

moreLiterals:
	MOVOU (SI)(R12*1), X0
	MOVOU 16(SI)(R12*1), X1
	MOVOU X0, (DI)(R12*1)
	MOVOU X1, 16(DI)(R12*1)
	ADDQ  $32, R12
	CMPQ  R12, AX
	JLO   moreLiterals
	JMP   literals

// A match of more than 16 bytes, at least 16 bytes back. The second half is loaded after the
// first is stored, since it may be the same bytes.
longMatch:
	MOVOU 16(R11), X1
	MOVOU X1, 16(DI)
	MOVQ  $32, R12
	CMPQ  CX, R12
	JLS   next
	CMPQ  DX, R12
	JLO   narrow

wide:
	MOVOU (R11)(R12*1), X0
	MOVOU 16(R11)(R12*1), X1
	MOVOU X0, (DI)(R12*1)
	MOVOU X1, 16(DI)(R12*1)
	ADDQ  $32, R12
	CMPQ  R12, CX
	JLO   wide
	JMP   next

narrow:
	MOVOU (R11)(R12*1), X0
	MOVOU X0, (DI)(R12*1)
	ADDQ  $16, R12
	CMPQ  R12, CX
	JLO   narrow
	JMP   next

// A match that repeats fewer than 16 bytes: X0 becomes these bytes, as often as they fit, and
// R13 the part of X0 that is whole periods.
near:
	LEAQ    periods<>(SB), R13
	MOVQ    DX, R12
	SHLQ    $4, R12
	MOVOU   (R11), X0
	MOVOU   (R13)(R12*1), X1
	PSHUFB  X1, X0
	MOVOU   X0, (DI)
	CMPQ    CX, $16
	JLS     next
	LEAQ    strides<>(SB), R13
	MOVBLZX (R13)(DX*1), R13
	MOVQ    R13, R12

again:
	MOVOU X0, (DI)(R12*1)
	ADDQ  R13, R12
	CMPQ  R12, CX
	JLO   again
	JMP   next

// periods[16*i+k] is k modulo i.
DATA periods<>+0x00(SB)/8, $0x0000000000000000
DATA periods<>+0x08(SB)/8, $0x0000000000000000
DATA periods<>+0x10(SB)/8, $0x0000000000000000
DATA periods<>+0x18(SB)/8, $0x0000000000000000
DATA periods<>+0x20(SB)/8, $0x0100010001000100
DATA periods<>+0x28(SB)/8, $0x0100010001000100
DATA periods<>+0x30(SB)/8, $0x0100020100020100
DATA periods<>+0x38(SB)/8, $0x0002010002010002
DATA periods<>+0x40(SB)/8, $0x0302010003020100
DATA periods<>+0x48(SB)/8, $0x0302010003020100
DATA periods<>+0x50(SB)/8, $0x0201000403020100
DATA periods<>+0x58(SB)/8, $0x0004030201000403
DATA periods<>+0x60(SB)/8, $0x0100050403020100
DATA periods<>+0x68(SB)/8, $0x0302010005040302
DATA periods<>+0x70(SB)/8, $0x0006050403020100
DATA periods<>+0x78(SB)/8, $0x0100060504030201
DATA periods<>+0x80(SB)/8, $0x0706050403020100
DATA periods<>+0x88(SB)/8, $0x0706050403020100
DATA periods<>+0x90(SB)/8, $0x0706050403020100
DATA periods<>+0x98(SB)/8, $0x0605040302010008
DATA periods<>+0xa0(SB)/8, $0x0706050403020100
DATA periods<>+0xa8(SB)/8, $0x0504030201000908
DATA periods<>+0xb0(SB)/8, $0x0706050403020100
DATA periods<>+0xb8(SB)/8, $0x04030201000a0908
DATA periods<>+0xc0(SB)/8, $0x0706050403020100
DATA periods<>+0xc8(SB)/8, $0x030201000b0a0908
DATA periods<>+0xd0(SB)/8, $0x0706050403020100
DATA periods<>+0xd8(SB)/8, $0x0201000c0b0a0908
DATA periods<>+0xe0(SB)/8, $0x0706050403020100
DATA periods<>+0xe8(SB)/8, $0x01000d0c0b0a0908
DATA periods<>+0xf0(SB)/8, $0x0706050403020100
DATA periods<>+0xf8(SB)/8, $0x000e0d0c0b0a0908
GLOBL periods<>(SB), RODATA|NOPTR, $256

// strides[i] is the largest multiple of i up to 16.
DATA strides<>+0x00(SB)/8, $0x0e0c0f100f101010
DATA strides<>+0x08(SB)/8, $0x0f0e0d0c0b0a0910
GLOBL strides<>(SB), RODATA|NOPTR, $16
