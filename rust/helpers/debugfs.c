// SPDX-License-Identifier: GPL-2.0
/*
 * Files in debugfs, some of which act when they are written. The operations name
 * this module as their owner, so that an open file keeps the module loaded:
 * debugfs calls their ->release() even after the file was removed.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "helpers.h"

static int reeve_debugfs_open(struct inode *inode, struct file *file)
{
	const struct reeve_debugfs_file *f = inode->i_private;

	return single_open(file, f->show, f->data);
}

static const struct file_operations reeve_debugfs_fops = {
	.owner = THIS_MODULE,
	.open = reeve_debugfs_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
};

static ssize_t reeve_debugfs_write(struct file *file, const char __user *from,
				   size_t count, loff_t *pos)
{
	const struct reeve_debugfs_file *f = file_inode(file)->i_private;

	return f->write(f->data, from, count);
}

static const struct file_operations reeve_debugfs_write_fops = {
	.owner = THIS_MODULE,
	.open = reeve_debugfs_open,
	.read = seq_read,
	.write = reeve_debugfs_write,
	.llseek = seq_lseek,
	.release = single_release,
};

struct dentry *reeve_helper_debugfs_file(const char *name, umode_t mode,
					 struct dentry *parent,
				       const struct reeve_debugfs_file *file)
{
	return debugfs_create_file(name, mode, parent, (void *)file,
				   file->write ? &reeve_debugfs_write_fops :
						 &reeve_debugfs_fops);
}
