/* SPDX-License-Identifier: ISC */
#ifndef VMD_PCIREG_H
#define VMD_PCIREG_H

/*
 * Registers of a type 0 configuration header and of the capabilities in use:
 * PCI Local Bus Specification 3.0, "Configuration Space Organization" and
 * "MSI-X Capability and Table Structures".
 */
#define PCIR_VENDOR	    0x00
#define PCIR_DEVICE	    0x02
#define PCIR_COMMAND	    0x04
#define PCIR_COMMAND_IO	    0x0001
#define PCIR_COMMAND_MEM    0x0002
#define PCIR_COMMAND_MASTER 0x0004
#define PCIR_COMMAND_NOINTX 0x0400
#define PCIR_STATUS	    0x06
#define PCIR_STATUS_INTX    0x0008
#define PCIR_STATUS_CAPS    0x0010
#define PCIR_STATUS_ERRORS  0xf900 /* parity, aborts, system error */
#define PCIR_REVISION	    0x08 /* and the class in the three bytes above */
#define PCIR_HEADER_TYPE    0x0e
#define PCIR_HEADER_MULTI   0x80
#define PCIR_BAR0	    0x10
#define PCIR_BAR_IO	    0x00000001U
#define PCIR_BAR_IO_ADDR    0xfffffffcU
#define PCIR_BAR_MEM_ADDR   0xfffffff0U
#define PCIR_SUBVENDOR	    0x2c
#define PCIR_SUBDEVICE	    0x2e
#define PCIR_ROM	    0x30
#define PCIR_ROM_ON	    0x00000001U
#define PCIR_ROM_ADDR	    0xfffff800U
#define PCIR_CAPS	    0x34
#define PCIR_INT_LINE	    0x3c
#define PCIR_INT_PIN	    0x3d
#define PCIR_HEADER_END	    0x40

#define PCICAP_ID	 0 /* offsets in a capability */
#define PCICAP_NEXT	 1
#define PCICAP_ID_VENDOR 0x09
#define PCICAP_ID_MSIX	 0x11

#define MSIX_CONTROL	    2 /* offsets in the MSI-X capability */
#define MSIX_TABLE	    4
#define MSIX_PBA	    8
#define MSIX_CAP_LEN	    12
#define MSIX_CONTROL_ENABLE 0x8000
#define MSIX_CONTROL_FMASK  0x4000
#define MSIX_ENTRY_LEN	    16
#define MSIX_ENTRY_MASKED   0x1

#endif
