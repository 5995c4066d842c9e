/**
 * Windows in step. The only module that knows how news of a learner come: by Realtime, on the learner's
 * own private channel, where the project has it; by BroadcastChannel between the windows of one
 * browser; and by looking again when a window gets the focus, or the channel was lost for a while.
 */
import type { RealtimeChannel, SupabaseClient } from '@supabase/supabase-js'
import type { News } from './waymark'

const PAUSE_SECONDS = 5

export class Live {
  isConnected = false
  private readonly windows = new BroadcastChannel('waymark')
  private channel: RealtimeChannel | null = null
  private timer: ReturnType<typeof setTimeout> | undefined
  private userId: string | null = null

  /** `onNews` gets what has changed, or null: something has, look again. */
  constructor(
    private readonly supabase: SupabaseClient,
    private readonly hasRealtime: boolean,
    private readonly onNews: (news: News | null) => void,
    private readonly onState: () => void,
  ) {
    this.windows.onmessage = ({ data }) => {
      if (data === this.userId) onNews(null)
    }
    addEventListener('focus', () => onNews(null))
  }

  /** Follow this learner, or nobody. */
  follow(userId: string | null): void {
    if (userId === this.userId) return
    this.userId = userId
    this.leave()
    if (userId && this.hasRealtime) void this.join(userId, true)
  }

  /** Tell the other windows of this browser that something of this learner changed. */
  tell(): void {
    if (this.userId) this.windows.postMessage(this.userId)
  }

  private leave(): void {
    clearTimeout(this.timer)
    const { channel } = this
    this.channel = null
    this.setConnected(false)
    if (channel) void this.supabase.removeChannel(channel)
  }

  private async join(userId: string, isFirst: boolean): Promise<void> {
    // The channel is private: Realtime asks the database whether this token may hear it.
    await this.supabase.realtime.setAuth()
    if (userId !== this.userId || this.channel) return
    const channel = this.supabase.channel(`waymark:${userId}`, { config: { private: true } })
    this.channel = channel
    channel
      .on('broadcast', { event: '*' }, ({ event, payload }) => this.onNews({ event, payload } as News))
      .subscribe((status) => {
        if (channel !== this.channel) return
        this.setConnected(status === 'SUBSCRIBED')
        if (status === 'SUBSCRIBED') {
          // What happened while nobody listened.
          if (!isFirst) this.onNews(null)
          isFirst = false
        } else if (status === 'CLOSED') {
          // A token that ran out on a sleeping machine; lost connections come back by themselves.
          this.channel = null
          this.timer = setTimeout(() => void this.join(userId, false), PAUSE_SECONDS * 1000)
        }
      })
  }

  private setConnected(isConnected: boolean): void {
    this.isConnected = isConnected
    this.onState()
  }
}
