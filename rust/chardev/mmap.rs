// SPDX-License-Identifier: GPL-2.0

//! The call that says where an object can be mapped.

use super::{
    file::OpenFile,
    uapi::BoMmap, //
};
use crate::bo::vm::Mapping;
use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

impl OpenFile {
    pub(super) fn bo_mmap(&self, args: &mut BoMmap) -> Result {
        let bo = self.handles.get(args.handle)?;
        let mapping = Mapping::new(&bo, &self.manager, &self.space)?;
        args.length = mapping.pages() << PAGE_SHIFT;
        args.offset = self.handles.place(args.handle, mapping)? << PAGE_SHIFT;
        Ok(())
    }
}
