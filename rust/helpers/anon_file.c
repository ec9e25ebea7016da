// SPDX-License-Identifier: GPL-2.0
#include <linux/anon_inodes.h>
#include <linux/fcntl.h>

#include "helpers.h"

struct file *reeve_helper_anon_file(const char *name,
				    const struct file_operations *fops, void *priv)
{
	return anon_inode_getfile(name, fops, priv, O_RDONLY | O_CLOEXEC);
}
